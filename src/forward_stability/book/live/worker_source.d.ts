/** The text of worker.js and of all that it imports; `module` in __init__.py supplies it. */
export const WORKER: string;
