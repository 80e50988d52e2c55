/** A tar archive of one program (POSIX ustar): what the only layer of the built-in image is. */

const BLOCK_BYTES = 512

/** An archive with one file that everybody may run: mode 0755, of root, of 1970. The same content gives the same bytes. */
export function tarOfProgram(name: string, content: Buffer): Buffer {
  const padding = Buffer.alloc((BLOCK_BYTES - (content.length % BLOCK_BYTES)) % BLOCK_BYTES)
  const end = Buffer.alloc(2 * BLOCK_BYTES)
  return Buffer.concat([header(name, content.length), content, padding, end])
}

function header(name: string, sizeBytes: number): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES)
  block.write(name, 0, 100)
  block.write(octal(0o755, 7), 100) // mode
  block.write(octal(0, 7), 108) // uid
  block.write(octal(0, 7), 116) // gid
  block.write(octal(sizeBytes, 11), 124)
  block.write(octal(0, 11), 136) // mtime
  block.write(' '.repeat(8), 148) // the checksum counts itself as blanks
  block.write('0', 156) // a regular file
  block.write('ustar\x0000', 257)
  const checksum = block.reduce((sum, byte) => sum + byte, 0)
  block.write(`${octal(checksum, 6)} `, 148)
  return block
}

/** Digits and a NUL, as every numeric field has them. */
function octal(value: number, digits: number): string {
  return `${value.toString(8).padStart(digits, '0')}\0`
}
