/** A full disk of each kind that gateways have. */

import { fillsInRun, fullAtEnd, fullAtStart, onDisk } from "../../support/full_disk.ts";
import { type Disk, exfat, ext4, fuse, inImage, overlay } from "../../support/small_disks.ts";

Deno.test.sanitizer({ ops: true, resources: true });

/** With the programs that each needs. */
const DISKS: Readonly<Record<string, { disk: Disk; needs: string[] }>> = {
  "ext4 with blocks of 1 KiB and a journal": {
    disk: ext4(["-b", "1024"], 8 * 1024),
    needs: ["mkfs.ext4"],
  },
  "ext4 with blocks of 4 KiB and no journal": {
    disk: ext4(["-b", "4096", "-O", "^has_journal"], 8 * 1024),
    needs: ["mkfs.ext4"],
  },
  xfs: { disk: inImage("xfs", 320), needs: ["mkfs.xfs"] },
  btrfs: { disk: inImage("btrfs", 128), needs: ["mkfs.btrfs"] },
  "overlay in memory": { disk: overlay, needs: [] },
  "ext4 by FUSE": { disk: fuse, needs: ["mkfs.ext4", "fuse2fs"] },
  exFAT: { disk: exfat, needs: ["mkfs.exfat", "mount.exfat-fuse", "losetup"] },
};

for (const [what, { disk, needs }] of Object.entries(DISKS)) {
  onDisk(
    `publisher on ${what} that is full at its start delivers what is on it, and live messages (Q12, Q19; needs root and mount)`,
    disk,
    fullAtStart,
    needs,
  );
  onDisk(
    `publisher on ${what} that fills in a run heals, and a kill then loses nothing (Q4, Q19; needs root and mount)`,
    disk,
    fillsInRun,
    needs,
  );
  onDisk(
    `publisher on ${what} that is full at SIGTERM tells what ends with it, and keeps the rest (Q15, Q19; needs root and mount)`,
    disk,
    fullAtEnd,
    needs,
  );
}
