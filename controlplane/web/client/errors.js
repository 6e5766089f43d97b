// What can go wrong.

/** An `error` of the server, or the loss of the connection to it (`code` is `lost`). */
export class ForebayError extends Error {
  /**
   * @param {string} code as in docs/signaling.md, or `lost`, `closed`, `timeout`
   * @param {string} message for people
   */
  constructor(code, message) {
    super(message || code);
    this.name = 'ForebayError';
    this.code = code;
  }
}

/** Another attempt cannot help. */
export const FATAL = new Set(['version', 'unauthorized', 'forbidden', 'limit', 'bad_message', 'unknown_type']);

/** Whether the request may be repeated once the connection is back. */
export function isLost(error) {
  return error instanceof ForebayError && (error.code === 'lost' || error.code === 'timeout');
}
