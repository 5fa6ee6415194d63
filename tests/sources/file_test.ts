import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { UserError } from "../../lib/core/errors.ts";
import { parseNumber } from "../../lib/sources/file.ts";
import { openSources, readAll } from "../../lib/sources/mod.ts";

async function withFolder(
  run: (folder: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await run(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** What a `file:` source says of a path it cannot use. */
async function failureOf(path: string): Promise<UserError> {
  const { readings, failures } = await readAll(openSources([`file:a=${path}`]));
  assertEquals(readings, []);
  assertEquals(failures.length, 1);
  return failures[0]!.error;
}

for (
  const [text, scale, value] of [
    ["23456\n", 0.001, 23.456],
    ["3\n", 0.1, 0.3],
    ["-1.5e3", 1, -1500],
    ["+7", 1, 7],
    [".5", 2, 1],
    ["0.1", 1, 0.1],
    ["9007199254740991", 1, 9007199254740991],
    ["1005", 0.01, 10.05],
  ] as const
) {
  Deno.test(`file parser makes ${value} of ${JSON.stringify(text)} times ${scale}`, () => {
    assertEquals(parseNumber(text, scale, "/x"), value);
  });
}

for (const text of ["1 2", "1e999", "1,5", "1 2 kB", "- C"]) {
  Deno.test(`file parser refuses ${JSON.stringify(text)} and quotes it`, () => {
    assertThrows(
      () => parseNumber(text, 1, "/x"),
      UserError,
      `Cannot read a number from "/x": must hold one number: it holds "${text}"`,
    );
  });
}

for (
  const [text, name, value] of [
    ["1234 kB\n", "cache_bytes", 1234 * 1024],
    ["85000 mC", "temperature_celsius", 85],
    ["-3.2°C", "temperature_celsius", -3.2],
    ["23.5 C", "temperature", 23.5],
    ["12000 mV", "battery_volts", 12],
    ["50%", "battery_ratio", 0.5],
    ["50 %", "battery_percent", 50],
    ["1200 MHz", "cpu_hertz", 1.2e9],
    ["8.0 GT/s PCIe", "link_speed", 8],
    ["3 kB", "read_bytes_total", 3072],
  ] as const
) {
  Deno.test(`file parser makes ${value} of ${JSON.stringify(text)} for ${name}`, () => {
    assertEquals(parseNumber(text, 1, "/x", name), value);
  });
}

Deno.test("file parser refuses a unit that is not the name's", () => {
  assertThrows(
    () => parseNumber("85000 mC", 1, "/x", "memory_bytes"),
    UserError,
    'must be in bytes, as the name "memory_bytes" says: its unit is "mC"',
  );
});

Deno.test("file source finds the one file that a pattern matches, wherever the kernel lists it now (S11)", async () => {
  await withFolder(async (root) => {
    const spec = "file:t_celsius=/sys/bus/i2c/devices/1-0048/hwmon/hwmon*/temp1_input*0.001";
    const sources = openSources([spec], { root });
    const folder = `${root}/sys/bus/i2c/devices/1-0048/hwmon`;
    const error = async () => (await readAll(sources)).failures[0]!.error.message;
    assertStringIncludes(await error(), "no file matches");
    for (const [at, n] of [3, 7].entries()) {
      await Deno.mkdir(`${folder}/hwmon${n}`, { recursive: true });
      await Deno.writeTextFile(`${folder}/hwmon${n}/temp1_input`, `2${n}500\n`);
      if (at === 0) assertEquals((await readAll(sources)).readings[0]?.value, 23.5);
    }
    assertStringIncludes(
      await error(),
      "must match one file: it matches 2 (/sys/bus/i2c/devices/1-0048/hwmon/hwmon3/temp1_input, ",
    );
    await Deno.remove(`${folder}/hwmon3`, { recursive: true });
    assertEquals((await readAll(sources)).readings[0]?.value, 27.5);
  });
});

Deno.test("file source takes a pattern for no hidden file, and no slash", async () => {
  await withFolder(async (folder) => {
    await Deno.mkdir(`${folder}/a`);
    for (const name of [".x1", "a/x2", "y3", "x4"]) {
      await Deno.writeTextFile(`${folder}/${name}`, name.slice(-1));
    }
    const read = async (pattern: string) =>
      (await readAll(openSources([`file:v=${folder}/${pattern}`]))).readings[0]?.value;
    assertEquals(await read("*x?"), 4);
    assertEquals(await read("?/x**1"), 2);
  });
});

for (const text of ["abc", "0x10", "NaN", "Infinity", "MARKED-SECRET", "x".repeat(4000)]) {
  Deno.test(`file parser refuses ${text.slice(0, 20)}, and does not show it (S1)`, () => {
    assertThrows(
      () => parseNumber(text, 1, "/x"),
      UserError,
      `must hold one number: it holds ${text.length} characters of text`,
    );
  });
}

Deno.test("file parser refuses a number that its scale makes infinite", () => {
  assertThrows(
    () => parseNumber("1e308", 1000, "/x"),
    UserError,
    "must hold one number",
  );
});

Deno.test("file parser says that a file is empty", () => {
  assertThrows(
    () => parseNumber(" \n", 1, "/x"),
    UserError,
    "the file is empty",
  );
});

Deno.test("file source reads an IIO sensor through its symlink", async () => {
  await withFolder(async (root) => {
    // Made here: a file system of Windows takes no colon.
    const [device, link] = ["devices/soc/21a0000.i2c/iio:device0", "bus/iio/devices/iio:device0"];
    await Deno.mkdir(`${root}/sys/${device}`, { recursive: true });
    await Deno.writeTextFile(`${root}/sys/${device}/in_temp_input`, "23456\n");
    await Deno.mkdir(`${root}/sys/bus/iio/devices`, { recursive: true });
    await Deno.symlink(`../../../${device}`, `${root}/sys/${link}`);
    const spec = `file:temperature_celsius=/sys/${link}/in_temp_input*0.001`;
    const { readings } = await readAll(openSources([spec], { root }));
    assertEquals(readings, [{ name: "temperature_celsius", value: 23.456 }]);
  });
});

Deno.test("file source reads a path with = and * in it", async () => {
  await withFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/a=b*c`, "21");
    const { readings } = await readAll(
      openSources([`file:x=${folder}/a=b*c*2`]),
    );
    assertEquals(readings, [{ name: "x", value: 42 }]);
  });
});

Deno.test("file source says that a file is missing (X7)", async () => {
  await withFolder(async (folder) => {
    const error = await failureOf(`${folder}/none`);
    assertEquals(
      error.message,
      `Cannot read a number from "${folder}/none": file not found`,
    );
    assertEquals(error.hint, `look for it: ls -l ${folder}/none`);
  });
});

Deno.test("file source refuses a directory (X7)", async () => {
  await withFolder(async (folder) => {
    assertStringIncludes(
      (await failureOf(folder)).message,
      "it is a directory",
    );
  });
});

Deno.test("file source refuses a FIFO instead of waiting for a writer (X7)", async () => {
  await withFolder(async (folder) => {
    const { success } = await new Deno.Command("mkfifo", {
      args: [`${folder}/pipe`],
    }).output();
    assertEquals(success, true);
    assertStringIncludes(
      (await failureOf(`${folder}/pipe`)).message,
      "it is a FIFO",
    );
  });
});

Deno.test("file source refuses a device", async () => {
  assertStringIncludes(
    (await failureOf("/dev/zero")).message,
    "it is a device",
  );
});

Deno.test("file source refuses more than 4 KiB (X7)", async () => {
  await withFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/big`, "1".padEnd(4097));
    assertStringIncludes(
      (await failureOf(`${folder}/big`)).message,
      "at most 4096 bytes",
    );
  });
});

Deno.test("file source reads exactly 4 KiB", async () => {
  await withFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/page`, "1".padEnd(4096));
    const { readings } = await readAll(openSources([`file:a=${folder}/page`]));
    assertEquals(readings, [{ name: "a", value: 1 }]);
  });
});

Deno.test("file source refuses a file of unknown size that gives more than 4 KiB (X7)", async () => {
  const error = await failureOf("/proc/self/smaps");
  assertStringIncludes(error.message, "at most 4096 bytes");
});

Deno.test("file source that fails does not touch the others (X7)", async () => {
  await withFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/good`, "1\n");
    const specs = [`file:bad=${folder}/none`, `file:good=${folder}/good`];
    const { readings, failures } = await readAll(openSources(specs));
    assertEquals(readings, [{ name: "good", value: 1 }]);
    assertEquals(failures.map(({ source }) => source), [specs[0]]);
  });
});

Deno.test({
  name: "file source without the right to read tells the flag to add",
  permissions: { read: ["/tmp/mqtt443-elsewhere"] },
  async fn() {
    const error = await failureOf("/tmp/mqtt443-none");
    assertEquals(
      error.hint,
      "add --allow-read=/tmp/mqtt443-none to the permissions",
    );
  },
});

Deno.test({
  name: "file source below /sys with scoped permissions is told to bind it in the service unit",
  permissions: { read: ["/run/mqtt443/host/sys/mqtt443-none"] },
  async fn() {
    const error = await failureOf("/sys/mqtt443-none");
    assertStringIncludes(
      error.hint,
      "BindReadOnlyPaths=/sys/mqtt443-none:/run/mqtt443/host/sys/mqtt443-none",
    );
  },
});

Deno.test("openSources refuses a wrong entry and stdin", () => {
  assertThrows(
    () => openSources(["sytem"]),
    UserError,
    'did you mean "system"?',
  );
  assertThrows(() => openSources(["stdin"]), UserError, "is a stream");
});
