/** Tar archives of which the same entries give the same bytes: no clock, no users of this machine, in the order given. */

/**
 * @typedef {{ readonly path: string, readonly mode: number, readonly owner?: number } & (
 *   { readonly type: 'file', readonly content: Buffer } |
 *   { readonly type: 'directory' } |
 *   { readonly type: 'link', readonly target: string }
 * )} Entry `owner`: user and group by number; root unless told otherwise
 */

const blockBytes = 512
const pathBytes = 100

/** @param {readonly Entry[]} entries @returns {Buffer} */
export function tarOf(entries) {
  const parts = entries.flatMap((entry) => {
    if (entry.type !== 'file') return [headerOf(entry)]
    const padding = Buffer.alloc((blockBytes - (entry.content.length % blockBytes)) % blockBytes)
    return [headerOf(entry), entry.content, padding]
  })
  return Buffer.concat([...parts, Buffer.alloc(2 * blockBytes)])
}

const typeFlags = { file: '0', link: '2', directory: '5' }

/** POSIX ustar; numbers are octal text. @param {Entry} entry */
function headerOf(entry) {
  const name = entry.type === 'directory' ? `${entry.path}/` : entry.path
  const target = entry.type === 'link' ? entry.target : ''
  for (const path of [name, target])
    if (Buffer.byteLength(path) > pathBytes) throw new Error(`a path of more than ${pathBytes} bytes: ${path}`)
  const block = Buffer.alloc(blockBytes)
  const octal = /** @param {number} value @param {number} digits */ (value, digits) => `${value.toString(8).padStart(digits, '0')}\0`
  block.write(name, 0)
  block.write(octal(entry.mode, 7), 100)
  block.write(octal(entry.owner ?? 0, 7), 108)
  block.write(octal(entry.owner ?? 0, 7), 116)
  block.write(octal(entry.type === 'file' ? entry.content.length : 0, 11), 124)
  block.write(octal(0, 11), 136)
  block.write(' '.repeat(8), 148)
  block.write(typeFlags[entry.type], 156)
  block.write(target, 157)
  block.write('ustar\x0000', 257)
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return block
}

/** Entries in the order of their paths, with the directories above them. @param {readonly Entry[]} entries @returns {Entry[]} */
export function withDirectories(entries) {
  const all = new Map(entries.map((entry) => [entry.path, entry]))
  for (const { path } of entries) {
    for (let end = path.lastIndexOf('/'); end > 0; end = path.lastIndexOf('/', end - 1)) {
      const above = path.slice(0, end)
      if (!all.has(above)) all.set(above, { path: above, mode: 0o755, type: 'directory' })
    }
  }
  return [...all.values()].sort((a, b) => (a.path < b.path ? -1 : 1))
}
