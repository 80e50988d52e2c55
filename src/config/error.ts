/** The error of whoever wrote the configuration or the command line. */

/** Its message is the one line that a person gets to read: where the mistake is, what was found, what is allowed. */
export class ConfigError extends Error {
  /** Lines like the message, about mistakes that were found with it. */
  readonly others: readonly string[]

  constructor(message: string, { others = [], ...options }: ErrorOptions & { readonly others?: readonly string[] } = {}) {
    super(message, options)
    this.name = 'ConfigError'
    this.others = others
  }
}
