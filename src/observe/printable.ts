/** Text from outside on its way to a person: nothing in it may end the line or steer a terminal. */

/** Control characters, the two line ends of Unicode, and what turns the direction of writing. */
const UNPRINTABLE = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu
/** All of nearly every line: seen at a fraction of the cost. */
const PLAIN = /^[ -~]*$/
const SHORT: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }

/** The text on one line, with `\n` and `\u001b` in place of what cannot be shown; also valid within a JSON string. */
export function printable(text: string): string {
  return PLAIN.test(text)
    ? text
    : text.replace(UNPRINTABLE, (char) => SHORT[char] ?? `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
