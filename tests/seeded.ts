export { seeded } from "../tools/seeded.ts";
