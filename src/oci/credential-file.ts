/** What a file with the credentials of many registries says, whatever its form. */
import type { RegistryPrefix } from './registry-prefix.ts'

export type StoredCredential =
  | { readonly kind: 'password'; readonly user: string; readonly password: string }
  /** To be exchanged for tokens at the registry's realm: an OAuth2 refresh token. */
  | { readonly kind: 'identityToken'; readonly token: string }

export type CredentialFile = {
  readonly credentials: readonly { readonly prefix: RegistryPrefix; readonly credential: StoredCredential }[]
  /** Programs to ask instead, by registry; `server` is what they are asked for. */
  readonly helpers: readonly { readonly prefix: RegistryPrefix; readonly helper: string; readonly server: string }[]
  /** The program to ask for all the others. */
  readonly store: string | undefined
}
