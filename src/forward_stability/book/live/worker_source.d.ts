/** The text of worker.js with all that it imports; compose.py supplies this module. */
export const WORKER: string;
