/** `WWW-Authenticate`: every form that real registries send (clients.md D.16), read by a tokenizer (RFC 9110 11.6.1). */

export type Challenge = {
  /** Lower-cased: `basic`, `bearer`. */
  readonly scheme: string
  /** Names lower-cased. */
  readonly params: Readonly<Record<string, string>>
}
