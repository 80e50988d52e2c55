/** Regular expressions of users: Go's syntax, in time linear in what they are matched against, loaded when the first one is read. */
import { showPart } from './tree.ts'

export type Expression = {
  /** As it was written. */
  readonly source: string
  /** Whether it matches somewhere in `text`. */
  matches(text: string): boolean
}

/** Several, of which one has to match. */
export type Patterns = {
  /** As they were written. */
  readonly source: string
  matches(text: string): boolean
}

/**
 * Expressions separated by commas, as the program before this one took them: none of them can hold a comma.
 * @throws Error that says which one is wrong, and why
 */
export async function parsePatterns(source: string): Promise<Patterns> {
  const parts = source.split(',').filter((part) => part !== '')
  if (parts.length === 0) throw new Error('there is no expression in it')
  const expressions = await Promise.all(
    parts.map(async (part) => {
      try {
        return await parseExpression(part)
      } catch (cause) {
        throw new Error(`${JSON.stringify(showPart(part))}: ${(cause as Error).message}`, { cause })
      }
    }),
  )
  return { source, matches: (text) => expressions.some((expression) => expression.matches(text)) }
}

/** @throws Error that says what is wrong with it */
export async function parseExpression(source: string): Promise<Expression> {
  const { RE2JS, RE2JSException, RE2JSSyntaxException } = await import('re2js')
  try {
    const compiled = RE2JS.compile(source)
    return { source, matches: (text) => compiled.test(text) }
  } catch (error) {
    if (!(error instanceof RE2JSException)) throw error
    const part = error instanceof RE2JSSyntaxException && error.input
    const problem = part ? `${error.error}: \`${showPart(part)}\`` : error.message.replace(/^error parsing regexp: /, '')
    throw new Error(problem.replaceAll(/[\r\n]/g, ' '), { cause: error })
  }
}
