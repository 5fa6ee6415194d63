/** Settings that are taken, and most likely are not what was meant. Pure. */

import type { Code } from "../core/codes.ts";
import { formatDoubt } from "../core/shadow.ts";
import type { Settings } from "./types.ts";

/** What is to be told of them at the start; undefined: nothing. */
export function settingsDoubt(
  settings: Settings,
): { readonly code: Code; readonly cause: string; readonly hint: string } | undefined {
  const format = formatDoubt(settings);
  if (format) return { code: "shadow-format", ...format };
  const { pack, packAs, packWait } = settings;
  if (pack === undefined && (packWait > 0 || packAs !== "samples")) {
    return {
      code: "pack-unused",
      cause: "packWait or packAs is set, and has no effect while pack is none",
      hint: "pass --pack 5KiB; or leave them out",
    };
  }
  if (settings.clientId !== "localhost") return undefined;
  return {
    code: "client-id-common",
    cause:
      'client id "localhost" is the host name of many a device: two with one id throw each other out',
    hint: "give this one its own: --client-id NAME",
  };
}
