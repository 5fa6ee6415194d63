/** The publisher room: gather, queue, deliver, reconnect, report. */

export { type ClockWatch, createClockWatch } from "./clock.ts";
export { type Draft, lineDraft, numbered } from "./drafts.ts";
export { gatherLines, gatherTicks } from "./gather.ts";
export { Outage } from "./outage.ts";
export { createReports, type Reports } from "./reports.ts";
export { RunStatus, type StatusDocument } from "./run_status.ts";
export { openStatusFile, type StatusFile } from "./status_file.ts";
export { openService, type Service, type ServiceOptions } from "./systemd.ts";
export { type PublisherOptions, runPublisher } from "./run.ts";
