/** The kinds of settings that are texts with rules of their own: hosts, client ids, topics, paths. Pure. */

import {
  MAX_PAYLOAD_BYTES,
  MAX_TOPIC_BYTES,
  MAX_TOPIC_SLASHES,
  textProblem,
  topicProblem,
  utf8Bytes,
} from "../core/message.ts";
import { proxyOf } from "../core/endpoint.ts";
import { MAX_SOCKET_PATH_BYTES } from "../core/socket_guard.ts";
import { checked, type Kind } from "./parsers.ts";
import { rangePattern } from "./range_pattern.ts";

/** Largest client id in bytes that AWS IoT Core takes. */
export const MAX_CLIENT_ID_BYTES = 128;

const LABEL = "[A-Za-z0-9_]([A-Za-z0-9_\\-]{0,61}[A-Za-z0-9_])?";
/** A host name or IPv4 address. */
const HOST_NAME = new RegExp(`^(?=.{1,253}$)${LABEL}(\\.${LABEL})*\\.?$`);

const BYTE = "(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
const IPV4 = new RegExp(`^${BYTE}(\\.${BYTE}){3}$`);
/** What can be an address alone. */
const NUMBERS = /^\d[\d.]*$/;

/** What is wrong with a host name or address, as the end of a sentence, or undefined. */
export function endpointProblem(text: string): string | undefined {
  const rule = "must be a host name or IP address alone";
  if (text.includes("://")) return `${rule}, without a scheme such as mqtts://`;
  if (text.includes("@")) return `${rule}, without a user`;
  if (/[/?]/.test(text)) return `${rule}, without a path`;
  if (text.startsWith("[") && text.endsWith("]")) return `${rule}, without brackets`;
  if (text.includes(":") && URL.canParse(`http://[${text}]`)) return undefined;
  if (/:\d+$/.test(text)) return `${rule}: give the port with --port`;
  if (NUMBERS.test(text) && !IPV4.test(text)) {
    return `${rule}: four numbers from 0 to 255 make an address, and a name does not end in a number`;
  }
  return HOST_NAME.test(text) ? undefined : `${rule} (letters, digits, "-" and ".", at most 253)`;
}

/** What is wrong with a client id, as the end of a sentence, or undefined. */
export function clientIdProblem(text: string): string | undefined {
  if (text === "" || utf8Bytes(text) > MAX_CLIENT_ID_BYTES) {
    return `must be from 1 to ${MAX_CLIENT_ID_BYTES} bytes of UTF-8, and is ${utf8Bytes(text)}`;
  }
  if (text.startsWith("$")) return "must not start with $";
  if (/[#+\0]/.test(text)) return "must not hold #, + or NUL";
  return textProblem(text);
}

/** Longest string of MQTT, in bytes. */
const MAX_USERNAME_BYTES = 65_535;

function usernameProblem(text: string): string | undefined {
  const bytes = utf8Bytes(text);
  return text === "" || bytes > MAX_USERNAME_BYTES
    ? `must be from 1 to ${MAX_USERNAME_BYTES} bytes of UTF-8, and is ${bytes}`
    : textProblem(text);
}

const PROXY_FORM = "http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT";

function proxyProblem(text: string): string | undefined {
  if (text.includes("@")) {
    return "must hold no user and password: put user:password into a file (chmod 600) and pass " +
      "--proxy-auth-file FILE";
  }
  const rule = `must be ${PROXY_FORM}`;
  const proxy = proxyOf(text);
  if (proxy === undefined) {
    return /^\w+:\/\/[^:/]+\/?$/.test(text) ? `${rule}: its port is not given` : rule;
  }
  if (proxy.port < 1 || proxy.port > 65_535) return `${rule}, with a PORT from 1 to 65535`;
  const host = endpointProblem(proxy.endpoint);
  return host === undefined ? undefined : `${rule}: HOST ${host}`;
}

function messageProblem(text: string): string | undefined {
  const bytes = utf8Bytes(text);
  return bytes > MAX_PAYLOAD_BYTES
    ? `must be at most ${MAX_PAYLOAD_BYTES} bytes of UTF-8, and is ${bytes}`
    : undefined;
}

function pathProblem(text: string): string | undefined {
  if (text === "") return "must be a path, not empty";
  if (text.includes("-----BEGIN ")) return "must be the path of a file, not its content";
  return text.includes("\0") ? "must not hold NUL" : undefined;
}

function listenProblem(text: string): string | undefined {
  if (text === "systemd") return undefined;
  if (!text.startsWith("/")) return "must be an absolute path, or systemd";
  const bytes = utf8Bytes(text);
  return bytes > MAX_SOCKET_PATH_BYTES
    ? `must be at most ${MAX_SOCKET_PATH_BYTES} bytes, as Linux has it, and is ${bytes}`
    : pathProblem(text);
}

/** RFC 7301: 1 to 255 bytes; printable ASCII is what any broker uses. */
const ALPN = /^[\x21-\x7e]{1,255}$/;
/** Control characters and halves of surrogate pairs, in a class of a regular expression. */
const UNFIT = "\\u0000-\\u001f\\u007f-\\u009f\\ud800-\\udfff";
/** A letter within a level of a topic. */
const LEVEL = `[^/#+${UNFIT}]`;
const PATH = { pattern: "^(?![\\s\\S]*-----BEGIN )[^\\u0000]+$" };
const SOURCE = { type: "string", pattern: "^\\s*[a-z]" };

/** A host name or IP address. */
export const HOST: Kind<string> = checked("HOST", endpointProblem, {
  allowed: "host name or IP, no scheme",
  type: "string",
  anyOf: [
    { pattern: `(?!${NUMBERS.source})${HOST_NAME.source}` },
    { pattern: IPV4.source },
    { pattern: ":", format: "ipv6" },
  ],
});

/** The name of a protocol within TLS. */
export const PROTOCOL: Kind<string> = checked(
  "NAME",
  (text) => ALPN.test(text) ? undefined : "must be a protocol name",
  { allowed: "protocol name", pattern: ALPN.source },
);

/** An MQTT client id. */
export const CLIENT_ID: Kind<string> = checked("ID", clientIdProblem, {
  allowed: `1-${MAX_CLIENT_ID_BYTES} bytes; not $ first; no # + NUL`,
  maxLength: MAX_CLIENT_ID_BYTES,
  pattern: `^(?!\\$)[^#+${UNFIT}]+$`,
});

/** An MQTT user name. */
export const USERNAME: Kind<string> = checked("NAME", usernameProblem, {
  allowed: `1-${MAX_USERNAME_BYTES} bytes`,
  maxLength: MAX_USERNAME_BYTES,
  pattern: `^[^${UNFIT}]+$`,
});

/** Where a proxy is, without user and password. */
export const PROXY: Kind<string> = checked("URL", proxyProblem, {
  allowed: "http, https or socks5://HOST:PORT",
  type: "string",
  pattern: `^(https?|socks5)://(${HOST_NAME.source.slice(1, -1)}|\\[[\\d:A-Fa-f.]+\\]):` +
    `${rangePattern(1, 65_535).slice(1, -1)}/?$`,
});

/** A topic to publish to. */
export const TOPIC: Kind<string> = checked("TOPIC", topicProblem, {
  allowed: `no wildcards; ${MAX_TOPIC_BYTES} bytes, ${MAX_TOPIC_SLASHES} slashes`,
  minLength: 1,
  maxLength: MAX_TOPIC_BYTES,
  pattern: `^(\\$aws/rules/${LEVEL}+/)?${LEVEL}*(/${LEVEL}*){0,${MAX_TOPIC_SLASHES}}$`,
});

/** Where a status is kept: no topic with a meaning of the broker's. */
export const STATUS_TOPIC: Kind<string> = checked(
  "TOPIC",
  (text) => text.startsWith("$") ? "must not begin with $" : topicProblem(text),
  {
    allowed: `no $ first; no wildcards; ${MAX_TOPIC_BYTES} bytes, ${MAX_TOPIC_SLASHES} slashes`,
    minLength: 1,
    maxLength: MAX_TOPIC_BYTES,
    pattern: `^(?!\\$)${LEVEL}*(/${LEVEL}*){0,${MAX_TOPIC_SLASHES}}$`,
  },
);

/** Where lines are handed in. */
export const SOCKET: Kind<string> = checked("PATH", listenProblem, {
  allowed: "absolute path of a Unix socket, systemd",
  type: "string",
  maxLength: MAX_SOCKET_PATH_BYTES,
  allOf: [PATH, { pattern: "^(/|systemd$)" }],
});

/** A payload. */
export const MESSAGE: Kind<string> = checked("TEXT", messageProblem, {
  allowed: "text of at most 128 KiB",
  maxLength: MAX_PAYLOAD_BYTES,
});

/** Names of sources with commas between them; a JSON array in the file arrives here joined. */
export const SOURCES: Kind<readonly string[]> = {
  parse: (text) => text.split(",").map((entry) => entry.trim()).filter((entry) => entry !== ""),
  allowed: "stdin, none, system, clock, self, file:NAME=PATH[*SCALE], disk:NAME=DIR",
  placeholder: "LIST",
  mayBeList: true,
  schema: () => ({ anyOf: [SOURCE, { type: "array", minItems: 1, items: SOURCE }] }),
};

/** A list with commas of which each entry has a form. */
function listOf(allowed: string, form: RegExp, rule: string): Kind<readonly string[]> {
  const entry = { type: "string", pattern: form.source.replaceAll("\\P{Cc}", `[^${UNFIT}]`) };
  const rest = form.source.slice(1, -1).replaceAll("\\P{Cc}", `[^,${UNFIT}]`);
  const text = { type: "string", pattern: `^\\s*${rest}\\s*(,\\s*(${rest}\\s*)?)*$` };
  return {
    parse(text) {
      const entries = SOURCES.parse(text);
      if (entries.length > 0 && entries.every((each) => form.test(each))) return entries;
      throw new RangeError(rule);
    },
    allowed,
    placeholder: "LIST",
    mayBeList: true,
    schema: () => ({ anyOf: [text, { type: "array", minItems: 1, items: entry }] }),
  };
}

/** Patterns of names of readings. */
export const PATTERNS: Kind<readonly string[]> = listOf(
  "names, with * and ?",
  /^[A-Za-z_*?][\w*?]*$/,
  "must be names of readings, in which * and ? may stand",
);

const TAG_LIST = listOf(
  "NAME=VALUE",
  /^[a-zA-Z_]\w*=\P{Cc}+$/u,
  "must be NAME=VALUE, with a NAME of letters, digits and _",
);

/** Fixed texts by name, no name twice. */
export const TAGS: Kind<readonly string[]> = {
  ...TAG_LIST,
  parse(text) {
    const entries = TAG_LIST.parse(text);
    if (new Set(entries.map((entry) => entry.split("=")[0])).size === entries.length) {
      return entries;
    }
    throw new RangeError("must not give a name twice");
  },
};

/** A path, to what `allowed` says. */
export function path(placeholder: string, allowed: string): Kind<string> {
  return checked(placeholder, pathProblem, { allowed, ...PATH });
}

/** A file with a secret in it, named in a form that a secret given by mistake does not have. */
export function secretFile(secret: string): Kind<string> {
  const form = /^\.{0,2}\//;
  const rule = `must be the path of a file that holds the ${secret}, beginning with /, ./ or ../`;
  return checked(
    "FILE",
    (text) => pathProblem(text) ?? (form.test(text) ? undefined : rule),
    { allowed: "/FILE or ./FILE", type: "string", allOf: [PATH, { pattern: form.source }] },
  );
}
