/** A day of readings, of sensors and links that come, go, hang, lie and are found in another order after each start. */

import { assert, assertEquals, assertGreaterOrEqual } from "@std/assert";
import { openSources, readAll } from "../../../lib/sources/mod.ts";
import { seeded } from "../../../tools/shared/seeded.ts";
import { makeMachine, monitor, net, plant, proc } from "../../support/machines.ts";

const TICK_S = 10;
const TICKS = 24 * 3600 / TICK_S;
const random = seeded(7);
const pick = (n: number) => Math.floor(random() * n);
const isNow = (each: number) => pick(each) === 0;

type State = "well" | "faulted" | "lies" | "hangs" | "gone";

/** A thermometer. Its number is in what it measures: number 3 measures 30 to 39 degrees. */
interface Device {
  readonly number: number;
  state: State;
  /** Under which number the kernel lists it. */
  hwmon: number;
}

/** Disks in slots, chips at addresses of a bus, and 1-Wire. */
function pathOf({ number, hwmon }: Device): string {
  if (number >= 4) return `w1_bus_master1/28-0000000000a${number}`;
  return number < 2
    ? `pci0000:00/0000:0${number}:00.0/nvme/nvme${hwmon}`
    : `platform/i2c-0/0-004${number}`;
}

function inputOf({ number, state }: Device): number {
  if (state === "lies") return 127_875_000;
  return state === "faulted" ? 127_875 : number * 10_000 + pick(9999);
}

class Machine implements Disposable {
  readonly root: string;
  readonly devices: Device[] = Array.from({ length: 6 }, (_, number) => ({
    ...{ number, state: "well" as State, hwmon: number },
  }));
  /** Those that hang, by what is read of them. */
  readonly #hanging = new Map<Device, string>();
  /** Bytes of the two links; undefined: unplugged. */
  readonly #links: Record<string, { index: number; rx: number } | undefined> = {
    eth0: { index: 2, rx: 1000 },
    wwan0: { index: 3, rx: 5000 },
  };
  #index = 4;

  constructor(root: string) {
    this.root = root;
    for (const device of this.devices) this.#plug(device);
    for (const name of Object.keys(this.#links)) this.#plugLink(name);
  }

  /** Something happens, and all measure anew. */
  tick(): void {
    for (const device of this.devices) {
      if (isNow(200)) {
        this.#unplug(device);
        device.state = (["well", "well", "faulted", "lies", "hangs", "gone"] as const)[pick(6)]!;
        // What comes back takes a number that is free.
        device.hwmon = this.#freeNumber(device);
        this.#plug(device);
      } else if (device.state === "well") {
        Deno.writeTextFileSync(this.#inputPath(device), `${inputOf(device)}\n`);
      }
    }
    for (const [name, link] of Object.entries(this.#links)) {
      if (link !== undefined) link.rx = isNow(500) ? pick(50) : link.rx + pick(1000);
      if (!isNow(300)) continue;
      this.#links[name] = link ? undefined : { index: this.#index++, rx: pick(20_000) };
      this.#plugLink(name);
    }
    const lines = Object.entries(this.#links).map(([name, link]) =>
      link ? `${name}: ${link.rx} 0 0 0 0 0 0 0 0\n` : ""
    );
    Deno.writeTextFileSync(`${this.root}/proc/net/dev`, lines.join(""));
  }

  /** The machine starts anew, and finds all in another order. */
  restart(): void {
    const order = this.devices.map((_, n) => n).sort(() => random() - 0.5);
    for (const device of this.devices) this.#unplug(device);
    for (const [at, device] of this.devices.entries()) {
      device.hwmon = order[at]!;
      this.#plug(device);
    }
  }

  [Symbol.dispose](): void {
    for (const device of this.devices) this.#unplug(device);
  }

  #inputPath({ hwmon }: Device): string {
    return `${this.root}/sys/class/hwmon/hwmon${hwmon}/temp1_input`;
  }

  #plug(device: Device): void {
    const { number, state, hwmon } = device;
    if (state === "gone") return;
    plant(
      this.root,
      monitor(hwmon, pathOf(device), {
        name: number >= 4 ? "w1_slave_temp" : number < 2 ? "nvme" : "lm75",
        temp1_input: inputOf(device),
        temp1_fault: state === "faulted" ? 1 : 0,
      }),
    );
    if (state !== "hangs") return;
    const path = this.#inputPath(device);
    Deno.removeSync(path);
    assert(new Deno.Command("mkfifo", { args: [path] }).outputSync().success);
    this.#hanging.set(device, path);
  }

  #unplug(device: Device): void {
    if (device.state === "gone") return;
    const hanging = this.#hanging.get(device);
    // Who hangs in it reads that there is nothing.
    if (hanging !== undefined) Deno.openSync(hanging, { read: true, write: true }).close();
    this.#hanging.delete(device);
    Deno.removeSync(`${this.root}/sys/class/hwmon/hwmon${device.hwmon}`);
    Deno.removeSync(`${this.root}/sys/devices/${pathOf(device)}`, { recursive: true });
  }

  #plugLink(name: string): void {
    const link = this.#links[name];
    if (link !== undefined) {
      plant(this.root, { ...net(name, { ...link, tx: 0, device: `platform/${name}` }) });
    } else {
      Deno.removeSync(`${this.root}/sys/class/net/${name}`);
      Deno.removeSync(`${this.root}/sys/devices/platform/${name}`, { recursive: true });
    }
  }

  #freeNumber(device: Device): number {
    const taken = new Set(
      this.devices.filter((other) => other !== device).map(({ hwmon }) => hwmon),
    );
    const free = [0, 1, 2, 3, 4, 5, 6, 7].filter((n) => !taken.has(n));
    return free[pick(free.length)]!;
  }
}

Deno.test("a day of readings: none carries another device's value, and no counter falls (S6, S7, S8)", async () => {
  using made = makeMachine(proc());
  using machine = new Machine(made.root);
  let nowMs = Date.UTC(2026, 10, 27);
  const open = () => openSources(["system"], { root: made.root, now: () => new Date(nowMs) });
  let sources = open();
  const deviceOf = new Map<string, number>();
  let counters = new Map<string, number>();
  let temperatures = 0;
  let restarts = 0;
  for (let tick = 0; tick < TICKS; tick++, nowMs += TICK_S * 1000) {
    machine.tick();
    if (isNow(1000)) {
      restarts++;
      machine.restart();
      sources = open();
      counters = new Map();
    }
    const { readings } = await readAll(sources, { timeoutMs: 20 });
    for (const { name, value } of readings) {
      if (name.startsWith("temperature_")) {
        const number = Math.floor(Number(value) / 10);
        assertEquals(deviceOf.get(name) ?? number, number, `${name} at tick ${tick}`);
        deviceOf.set(name, number);
        temperatures++;
      } else if (name.endsWith("_total")) {
        assertGreaterOrEqual(Number(value), counters.get(name) ?? 0, `${name} at tick ${tick}`);
        counters.set(name, Number(value));
      }
    }
  }
  assertEquals(new Set(deviceOf.values()).size, deviceOf.size);
  assertEquals(deviceOf.size, machine.devices.length);
  assert(
    temperatures > TICKS && restarts > 3,
    `${temperatures} temperatures, ${restarts} restarts`,
  );
});
