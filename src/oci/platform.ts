/** Platform names: images use Go's (`linux/amd64`), Node has its own. */
import type { Platform } from './manifest.ts'

const OS_NAMES: Readonly<Record<string, string>> = { win32: 'windows', sunos: 'solaris' }
const ARCHITECTURE_NAMES: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386', ppc64: 'ppc64le', mipsel: 'mipsle' }

/** @param os `process.platform`. @param architecture `process.arch` */
export function platformOfNode(os: string, architecture: string): Platform {
  return { os: OS_NAMES[os] ?? os, architecture: ARCHITECTURE_NAMES[architecture] ?? architecture }
}

const WORD = /^[a-z0-9][a-z0-9._-]{0,63}$/

/** Reads `os/architecture[/variant]`; undefined for anything else. */
export function parsePlatform(text: string): Platform | undefined {
  const [os = '', architecture = '', variant, ...rest] = text.toLowerCase().split('/')
  if (!WORD.test(os) || !WORD.test(architecture) || rest.length > 0) return undefined
  if (variant === undefined) return { os, architecture }
  return WORD.test(variant) ? { os, architecture, variant } : undefined
}

/** `linux/arm/v7`. */
export function formatPlatform({ os, architecture, variant }: Platform): string {
  return variant === undefined ? `${os}/${architecture}` : `${os}/${architecture}/${variant}`
}

/** What an index calls the attestation that BuildKit puts beside an image. */
export const NO_PLATFORM = 'unknown/unknown'

/**
 * Whether an image of an index is for a wanted platform. Without a variant every variant is wanted; arm64 is v8 where nobody says otherwise, as
 * containerd has it.
 */
export function isForPlatform(wanted: Platform, offered: Platform): boolean {
  if (wanted.os !== offered.os.toLowerCase() || wanted.architecture !== offered.architecture.toLowerCase()) return false
  return wanted.variant === undefined || wanted.variant === (offered.variant?.toLowerCase() ?? defaultVariant(offered))
}

function defaultVariant({ architecture }: Platform): string | undefined {
  if (architecture.toLowerCase() === 'arm64') return 'v8'
  return architecture.toLowerCase() === 'arm' ? 'v7' : undefined
}
