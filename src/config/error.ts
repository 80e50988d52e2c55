/** The error of whoever wrote the configuration or the command line. */

/** Its message is the one line that a person gets to read: where the mistake is, what was found, what is allowed. */
export class ConfigError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'ConfigError'
  }
}
