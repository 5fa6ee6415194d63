/** Where each file of a kit belongs: what install.sh and the Debian package go by. */

/** Who installs: install.sh below /usr/local, or dpkg below /usr. */
export type Installer = "install.sh" | "dpkg";

/** A file of the kit, and where it belongs. */
export interface Place {
  /** In the kit. */
  readonly name: string;
  /** On the device. */
  readonly place: string;
}

const DOCUMENTS = [
  ...["README.txt", "LICENSE", "SECURITY.md", "THIRD_PARTY_LICENSES.txt", "sbom.cdx.json"],
  ...["mqtt443.schema.json", "listen.conf"],
  ...["VERSION", "install.sh", "FILES"],
];

/** Where the runtime lies that all users share. */
export function runtimeFolder(installer: Installer): string {
  return `${installer === "dpkg" ? "/usr" : "/usr/local"}/lib/mqtt443`;
}

/** Where everything belongs but the executable, which comes last, and the runtime. */
export function layout(installer: Installer, names: readonly string[]): Place[] {
  const isDpkg = installer === "dpkg";
  const prefix = isDpkg ? "/usr" : "/usr/local";
  // What an administrator puts there goes before what packages bring.
  const system = isDpkg ? "/usr/lib" : "/etc";
  const places: Readonly<Record<string, string>> = {
    "mqtt443.json.sample": "/etc/mqtt443/mqtt443.json.sample",
    "mqtt443.sysusers": `${system}/sysusers.d/mqtt443.conf`,
    "mqtt443.tmpfiles": `${system}/tmpfiles.d/mqtt443.conf`,
    "mqtt443.1": `${prefix}/share/man/man1/mqtt443.1`,
    "mqtt443.bash": `${prefix}/share/bash-completion/completions/mqtt443`,
    "mqtt443.zsh": `${prefix}/share/zsh/${
      isDpkg ? "vendor-completions" : "site-functions"
    }/_mqtt443`,
    "mqtt443.fish": `${prefix}/share/fish/vendor_completions.d/mqtt443.fish`,
    "certs.sh": `${prefix}/share/mqtt443/certs.sh`,
    ...Object.fromEntries(DOCUMENTS.map((name) => [name, `${prefix}/share/doc/mqtt443/${name}`])),
  };
  return names.flatMap((name) => {
    const place = /\.(service|socket|target)$/.test(name)
      ? `${system}/systemd/system/${name}`
      : places[name];
    return place === undefined ? [] : [{ name, place }];
  });
}
