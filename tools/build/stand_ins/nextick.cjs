/** In place of the package `process-nextick-args`: there for versions of Node that knew no arguments of nextTick. */
module.exports = require("node:process");
