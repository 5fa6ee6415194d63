/**
 * Machines as their kernels show them, as trees of files below a folder: /proc, /sys/class, /sys/devices. Made by the tests,
 * as their names hold colons. Values are such that none is that of another sensor or interface.
 */

/** Files by path: their text, or where a link leads. */
export type Tree = Record<string, string | { readonly link: string }>;

const NET_HEAD = "Inter-|   Receive\n face |bytes    packets\n";

/** What most machines have. */
export function proc(
  { cpus = 4, uptime = 1209600, kB = 3884344, available = 3272416, swap = 0, swapFree = 0 } = {},
): Tree {
  const ids = Array.from({ length: cpus }, (_, id) => `cpu${id} 10 0 10 80 0 0 0 0 0 0\n`);
  return {
    "proc/loadavg": "0.52 0.58 0.59 1/234 5678\n",
    "proc/meminfo": `MemTotal: ${kB} kB\nMemFree: 1 kB\nMemAvailable: ${available} kB\n` +
      `SwapTotal: ${swap} kB\nSwapFree: ${swapFree} kB\n`,
    "proc/stat": `cpu  40 0 40 320 0 0 0 0 0 0\n${ids.join("")}intr 1\n`,
    "proc/uptime": `${uptime}.42 4711.10\n`,
    "proc/net/dev": NET_HEAD,
  };
}

/** A hardware monitor of a device, whose path is meant below /sys/devices. */
export function monitor(n: number, device: string, files: Record<string, string | number>): Tree {
  const folder = `sys/devices/${device}/hwmon/hwmon${n}`;
  return {
    [`sys/class/hwmon/hwmon${n}`]: { link: `../../devices/${device}/hwmon/hwmon${n}` },
    [`${folder}/device`]: { link: "../.." },
    ...texts(folder, files),
  };
}

/** A thermal zone. @param device Where its link of that name leads. */
export function zone(n: number, files: Record<string, string | number>, device?: string): Tree {
  const folder = `sys/devices/virtual/thermal/thermal_zone${n}`;
  return {
    [`sys/class/thermal/thermal_zone${n}`]: {
      link: `../../devices/virtual/thermal/thermal_zone${n}`,
    },
    ...texts(folder, { mode: "enabled", ...files }),
    ...(device !== undefined && { [`${folder}/device`]: { link: `../../../${device}` } }),
  };
}

/** An interface. */
export interface NetOptions {
  readonly index: number;
  /** Bytes. */
  readonly rx: number;
  readonly tx: number;
  /** Path of its device below /sys/devices; without one it is virtual. */
  readonly device?: string;
  /** ARPHRD number. */
  readonly type?: number;
  /** Interfaces below it, and the one above it. */
  readonly lower?: readonly string[];
  readonly master?: string;
}

/** An interface, and its line in /proc/net/dev. */
export function net(
  name: string,
  { index, rx, tx, device, type = 1, lower = [], master }: NetOptions,
): Tree {
  const folder = `sys/devices/${device ?? "virtual"}/net/${name}`;
  const entries = [...lower.map((each) => `lower_${each}`), ...(master ? ["master"] : [])];
  return {
    [`sys/class/net/${name}`]: { link: `../../devices/${device ?? "virtual"}/net/${name}` },
    ...texts(folder, { ifindex: index, type }),
    ...(device && { [`${folder}/device`]: { link: "../.." } }),
    ...Object.fromEntries(entries.map((entry) => [`${folder}/${entry}`, { link: `../${entry}` }])),
    [`+proc/net/dev ${name}`]: `${name}: ${rx} 1 0 0 0 0 0 0 ${tx} 1 0 0 0 0 0 0\n`,
  };
}

function texts(folder: string, files: Record<string, string | number>): Tree {
  return Object.fromEntries(
    Object.entries(files).map(([name, text]) => [`${folder}/${name}`, `${text}\n`]),
  );
}

const LOOPBACK = net("lo", { index: 1, rx: 7, tx: 7, type: 772 });

/** Machines by name. */
export const MACHINES: Readonly<Record<string, () => Tree>> = {
  "x86-vm": () => ({
    ...proc({ cpus: 2, uptime: 957 }),
    ...LOOPBACK,
    ...net("eth0", {
      index: 2,
      rx: 95406808,
      tx: 147738,
      device: "pci0000:00/0000:00:03.0/virtio0",
    }),
  }),
  "raspberry-pi-4": () => ({
    ...proc({ swap: 102396, swapFree: 98300 }),
    ...zone(0, { type: "cpu-thermal", temp: 48312 }),
    ...monitorOfZone(0, 0, { name: "cpu_thermal", temp1_input: 48312 }),
    ...monitor(1, "platform/soc/soc:firmware/raspberrypi-hwmon", {
      name: "rpi_volt",
      in0_lcrit_alarm: 1,
    }),
    ...wire(2, "28-0316a2795f2b", 21062),
    ...wire(3, "28-0316a27960aa", 22500),
    ...wire(4, "28-03168011c2ff", -1250),
    ...LOOPBACK,
    ...net("eth0", { index: 2, rx: 1000, tx: 2000, device: "platform/scb/fd580000.ethernet" }),
    ...net("wlan0", {
      ...{ index: 3, rx: 4823312345, tx: 912334455 },
      device: "platform/soc/fe300000.mmcnr/mmc_host/mmc1/mmc1:0001/mmc1:0001:1",
    }),
  }),
  "raspberry-pi-5": () => ({
    ...proc(),
    ...zone(0, { type: "cpu-thermal", temp: 51250 }),
    ...monitorOfZone(0, 0, { name: "cpu_thermal", temp1_input: 51250 }),
    ...monitor(1, "platform/axi/1000120000.pcie/1f000c8000.adc", {
      ...{ name: "rp1_adc", in1_input: 1420, in2_input: 2508, temp1_input: 47100 },
    }),
    ...monitor(2, "platform/axi/1000110000.pcie/pci0001:00/0001:00:00.0/0001:01:00.0/nvme/nvme0", {
      ...{ name: "nvme", temp1_input: 38850, temp1_label: "Composite" },
    }),
    ...monitor(3, "platform/cooling_fan", { name: "pwmfan", fan1_input: 2310, pwm1: 75 }),
    ...monitor(4, "platform/soc@107c000000/soc@107c000000:firmware/raspberrypi-hwmon", {
      ...{ name: "rpi_volt", in0_lcrit_alarm: 0 },
    }),
    ...LOOPBACK,
    ...net("eth0", {
      index: 2,
      rx: 11,
      tx: 12,
      device: "platform/axi/1000120000.pcie/1f00100000.ethernet",
    }),
  }),
  "jetson": () => ({
    ...proc({ cpus: 6 }),
    ...zone(0, { type: "cpu-thermal", temp: 45531 }),
    ...zone(1, { type: "gpu-thermal", temp: 43906 }),
    // Switched off with the unit that it measures.
    ...zone(2, { type: "cv0-thermal", temp: -256000 }),
    ...zone(3, { type: "PMIC-Die", temp: 50000, mode: "disabled" }),
    ...monitorOfZone(0, 0, { name: "cpu_thermal", temp1_input: 45531 }),
    ...monitor(1, "platform/c240000.i2c/i2c-1/1-0040", {
      ...{ name: "ina3221", in1_label: "VDD_IN", in1_input: 19088, curr1_input: 344 },
      ...{
        in2_label: "VDD_CPU_GPU_CV",
        in2_input: 19096,
        curr2_input: 56,
        in1_enable: 1,
        in2_enable: 1,
      },
      ...{ in3_label: "VDD_SOC", in3_input: 19104, curr3_input: 96, in3_enable: 0 },
      ...{ curr1_label: "VDD_IN" },
    }),
    ...monitor(2, "platform/39c0000.tachometer", { name: "pwm_tach", fan1_input: 1497 }),
    ...LOOPBACK,
    ...net("eth0", { index: 2, rx: 21, tx: 22, device: "platform/2490000.ethernet" }),
    ...net("can0", { index: 3, rx: 31, tx: 32, device: "platform/c310000.mttcan", type: 280 }),
    ...net("l4tbr0", { index: 4, rx: 41, tx: 42, lower: ["usb0"] }),
    ...net("usb0", {
      index: 5,
      rx: 51,
      tx: 52,
      device: "platform/3550000.usb/gadget",
      master: "l4tbr0",
    }),
  }),
  "imx-gateway": () => ({
    ...proc({ cpus: 4 }),
    ...zone(0, { type: "imx_thermal_zone", temp: 39000 }),
    // Two of one kind, one of them unplugged.
    ...monitor(0, "platform/soc/30a20000.i2c/i2c-0/0-0048", {
      name: "lm75",
      temp1_input: 24125,
      temp1_fault: 0,
    }),
    ...monitor(1, "platform/soc/30a20000.i2c/i2c-0/0-0049", {
      name: "lm75",
      temp1_input: 127875,
      temp1_fault: 1,
    }),
    ...monitor(
      2,
      "platform/soc/30be0000.ethernet/mdio_bus/30be0000.ethernet-1/30be0000.ethernet-1:00",
      {
        ...{ name: "30be0000_ethernet_1_00", temp1_input: 55000 },
      },
    ),
    ...LOOPBACK,
    ...net("eth0", { index: 2, rx: 1100, tx: 1200, device: "platform/soc/30be0000.ethernet" }),
    ...net("lan1", { index: 3, rx: 100, tx: 200, device: SWITCH, lower: ["eth0"] }),
    ...net("lan2", { index: 4, rx: 300, tx: 400, device: SWITCH, lower: ["eth0"] }),
    ...net("wwan0", {
      index: 5,
      rx: 5000,
      tx: 6000,
      type: 65534,
      device: "platform/usb@38100000/usb1/1-1/1-1:1.4",
    }),
    ...net("can0", { index: 6, rx: 61, tx: 62, type: 280, device: "platform/soc/308c0000.can" }),
  }),
  "industrial-pc": () => ({
    ...proc({ cpus: 12 }),
    ...zone(0, { type: "acpitz", temp: 27800 }, "LNXSYSTM:00/LNXSYBUS:00/LNXTHERM:00"),
    ...zone(1, { type: "acpitz", temp: 29800 }, "LNXSYSTM:00/LNXSYBUS:00/LNXTHERM:01"),
    ...zone(2, { type: "x86_pkg_temp", temp: 41000 }),
    ...monitor(1, "platform/coretemp.0", {
      ...{ name: "coretemp", temp1_label: "Package id 0", temp1_input: 41500 },
      ...{ temp2_label: "Core 0", temp2_input: 39000, temp10_label: "Core 4", temp10_input: -5500 },
    }),
    ...monitor(2, "pci0000:00/0000:00:1c.0/0000:01:00.0/nvme/nvme0", {
      ...{
        name: "nvme",
        temp1_label: "Composite",
        temp1_input: 36850,
        temp3_label: "Sensor 2",
        temp3_input: 65261850,
      },
    }),
    ...monitor(3, "pci0000:00/0000:00:1d.0/0000:02:00.0/nvme/nvme1", {
      ...{ name: "nvme", temp1_label: "Composite", temp1_input: 38900 },
    }),
    ...monitor(4, "platform/nct6775.656", {
      ...{ name: "nct6775", temp1_input: 33500, temp2_input: -128000, fan1_input: 1180 },
      ...{ in0_label: "Vcore", in0_input: 896, in1_input: 1016 },
    }),
    ...monitor(5, "platform/nct6775.2608", {
      name: "nct6775",
      temp1_input: 34500,
      temp2_input: 31000,
    }),
    ...monitor(6, "pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0", {
      name: "drivetemp",
      temp1_input: 30000,
    }),
    "sys/devices/pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0/wwid":
      "naa.50014ee2b1c2d3e4\n",
    ...LOOPBACK,
    ...net("enp1s0", { index: 2, rx: 71, tx: 72, device: "pci0000:00/0000:00:1c.1/0000:03:00.0" }),
    ...net("enp2s0", { index: 3, rx: 81, tx: 82, device: "pci0000:00/0000:00:1c.2/0000:04:00.0" }),
  }),
  "router": () => ({
    ...proc({ cpus: 2 }),
    ...LOOPBACK,
    ...net("eth0", { index: 2, rx: 9000, tx: 9100, device: "platform/soc/eth0" }),
    ...net("eth1", { index: 3, rx: 500, tx: 600, device: "platform/soc/eth1", master: "br-lan" }),
    ...net("wlan0", {
      index: 4,
      rx: 50,
      tx: 60,
      device: "pci0000:00/0000:01:00.0",
      master: "br-lan",
    }),
    ...net("br-lan", { index: 5, rx: 540, tx: 650, lower: ["eth1", "wlan0"] }),
    ...net("eth0.7", { index: 6, rx: 8900, tx: 9000, lower: ["eth0"] }),
    ...net("ppp0", { index: 7, rx: 8800, tx: 8900, type: 512 }),
    ...net("wg0", { index: 8, rx: 1, tx: 2, type: 65534 }),
    ...net("tun0", { index: 9, rx: 1, tx: 2, type: 65534 }),
    "proc/net/pppoe":
      "Id       Address              Device\n0A150000 00:90:1A:A0:26:DA    eth0.7\n",
  }),
  "container": () => ({
    ...proc({ cpus: 1, kB: 16000000, available: 8000000 }),
    "sys/fs/cgroup/memory.max": "536870912\n",
    "sys/fs/cgroup/memory.current": "209715200\n",
    "sys/fs/cgroup/memory.stat":
      "anon 100000000\nfile 90000000\ninactive_file 9715200\nactive_file 1\n",
    ...LOOPBACK,
    ...net("eth0", { index: 17, rx: 1766, tx: 126 }),
    ...net("tun0", { index: 18, rx: 5, tx: 5, type: 65534 }),
  }),
  "many-veths": () => ({
    ...proc(),
    ...LOOPBACK,
    ...net("eth0", { index: 2, rx: 1000000, tx: 2000000, device: "pci0000:00/0000:00:03.0" }),
    ...net("docker0", {
      index: 3,
      rx: 5,
      tx: 5,
      lower: Array.from({ length: 300 }, (_, n) => `veth${n}`),
    }),
    ...Object.assign(
      {},
      ...Array.from(
        { length: 300 },
        (_, n) => net(`veth${n}`, { index: 4 + n, rx: 11, tx: 12, master: "docker0" }),
      ),
    ),
  }),
  "malformed": () => ({
    "proc/loadavg": "many\n",
    "proc/meminfo": "MemTotal: lots\nMemAvailable: 100 kB\n",
    "proc/stat": "cpu x y\n",
    "proc/uptime": "yesterday\n",
    "proc/net/dev": "eth0: not a number\n",
    ...zone(0, { type: "odd", temp: "hot" }),
    ...monitor(0, "platform/odd.0", { name: "odd", temp1_input: "", in0_input: "NaN" }),
  }),
};

const SWITCH = "platform/soc/30be0000.ethernet/mdio_bus/30be0000.ethernet-1/30be0000.ethernet-1:10";

/** A 1-Wire thermometer. */
export function wire(n: number, id: string, millidegrees: number): Tree {
  return monitor(n, `w1_bus_master1/${id}`, { name: "w1_slave_temp", temp1_input: millidegrees });
}

/** The hardware monitor that the kernel makes of a zone. */
function monitorOfZone(n: number, zone: number, files: Record<string, string | number>): Tree {
  const folder = `virtual/thermal/thermal_zone${zone}/hwmon${n}`;
  return {
    [`sys/class/hwmon/hwmon${n}`]: { link: `../../devices/${folder}` },
    ...texts(`sys/devices/${folder}`, files),
  };
}

/** Writes a tree into a folder; what is there already stays. */
export function plant(folder: string, tree: Tree): void {
  for (const [path, content] of Object.entries(tree)) {
    if (path.startsWith("+")) {
      const [file] = path.slice(1).split(" ");
      Deno.writeTextFileSync(`${folder}/${file}`, content as string, { append: true });
      continue;
    }
    Deno.mkdirSync(`${folder}/${path.slice(0, path.lastIndexOf("/"))}`, { recursive: true });
    if (typeof content === "string") Deno.writeTextFileSync(`${folder}/${path}`, content);
    else Deno.symlinkSync(content.link, `${folder}/${path}`);
  }
}

/** A machine in a folder of its own, gone at the end. */
export function makeMachine(tree: Tree | string): Disposable & { readonly root: string } {
  const root = Deno.makeTempDirSync({ prefix: "mqtt443-machine-" });
  plant(root, typeof tree === "string" ? MACHINES[tree]!() : tree);
  return { root, [Symbol.dispose]: () => Deno.removeSync(root, { recursive: true }) };
}
