/** Regular expressions of users: Go's syntax, in time linear in what they are matched against, loaded when the first one is read. */

export type Expression = {
  /** As it was written. */
  readonly source: string
  /** Whether it matches somewhere in `text`. */
  matches(text: string): boolean
}

/** @throws Error that says what is wrong with it */
export async function parseExpression(source: string): Promise<Expression> {
  const { RE2JS, RE2JSException } = await import('re2js')
  try {
    const compiled = RE2JS.compile(source)
    return { source, matches: (text) => compiled.test(text) }
  } catch (error) {
    if (!(error instanceof RE2JSException)) throw error
    throw new Error(error.message.replace(/^error parsing regexp: /, ''), { cause: error })
  }
}
