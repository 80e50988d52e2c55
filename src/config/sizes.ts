/** Sizes as people write them: `500MiB`, `2GB`, `5%` of the disk. */
import type { Reserve } from './config.ts'
import { scalarType } from './value-types.ts'

const KIB = 1024
export const MIB = KIB ** 2
export const GIB = KIB ** 3
/** In small letters; Kubernetes leaves the B out. */
const UNITS: ReadonlyMap<string, number> = new Map([
  ['', 1] as const,
  ['b', 1] as const,
  ...['k', 'm', 'g', 't'].flatMap((letter, i) => [
    [`${letter}b`, 1000 ** (i + 1)] as const,
    [`${letter}i`, KIB ** (i + 1)] as const,
    [`${letter}ib`, KIB ** (i + 1)] as const,
  ]),
])

/** In bytes. */
export const size = scalarType({
  want: 'a size such as 500MiB or 2GB',
  placeholder: 'SIZE',
  parse: ({ text }) => parseSize(text),
  format: formatSize,
})

/** In bytes; more than none. */
export const someSize = scalarType({ ...size, want: `${size.want}, more than 0`, parse: ({ text }) => parseSize(text) || undefined })

/** In bytes a second. */
export const rate = scalarType({
  want: 'bytes a second such as 20MiB, more than 0',
  placeholder: 'RATE',
  parse: ({ text }) => parseSize(text) || undefined,
  format: formatSize,
})

/** So many bytes, or a part of the disk. */
export const diskReserve = scalarType<Reserve>({
  want: 'a size such as 500MiB or 2GB, or a part of the disk such as 5%',
  placeholder: 'SIZE',
  parse: ({ text }) => parsePercent(text) ?? parseWhole(text),
  format: formatReserve,
})

/** A part of a whole: 95 for `95%`. */
export const percent = scalarType({
  want: 'a part from 1% to 100%',
  placeholder: undefined,
  parse: ({ text }) => {
    const [, digits] = /^(\d{1,3})\s?%?$/.exec(text) ?? []
    return digits === undefined || Number(digits) < 1 || Number(digits) > 100 ? undefined : Number(digits)
  },
  format: (value) => `${value}%`,
})

function parsePercent(text: string): Reserve | undefined {
  const [, digits] = /^(\d{1,3}(?:\.\d+)?) ?%$/.exec(text) ?? []
  const percent = Number(digits)
  return digits === undefined || percent > 100 ? undefined : { bytes: Number.MAX_SAFE_INTEGER, percent }
}

function parseWhole(text: string): Reserve | undefined {
  const bytes = parseSize(text)
  return bytes === undefined ? undefined : { bytes, percent: 100 }
}

function parseSize(text: string): number | undefined {
  const [, digits, unit = ''] = /^(\d{1,15}(?:\.\d{1,6})?) ?([a-z]*)$/i.exec(text) ?? []
  const factor = UNITS.get(unit.toLowerCase())
  if (digits === undefined || factor === undefined) return undefined
  const bytes = Math.floor(Number(digits) * factor)
  return Number.isSafeInteger(bytes) ? bytes : undefined
}

/** Exactly, in the unit that makes it shortest: `20MiB`, `2GB`. */
function formatSize(bytes: number): string {
  const units = ['', 'KiB', 'MiB', 'GiB', 'TiB', 'kB', 'MB', 'GB', 'TB'].map((unit) => ({
    unit,
    factor: UNITS.get(unit.toLowerCase()) ?? 1,
  }))
  const exact = units.filter(({ factor }) => bytes % factor === 0).map(({ unit, factor }) => `${bytes / factor}${unit}`)
  return bytes === 0 ? '0' : exact.reduce((best, text) => (text.length <= best.length ? text : best))
}

/** Out of the box it is both, whichever is less. */
function formatReserve({ bytes, percent }: Reserve): string {
  if (percent === 100) return formatSize(bytes)
  return bytes === Number.MAX_SAFE_INTEGER ? `${percent}%` : `${percent}% or ${formatSize(bytes)}, whichever is less`
}
