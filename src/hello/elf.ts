/** Writes a static Linux program as small as can be: ELF headers, machine code, and one text behind it; all of it in one segment that is read and run. */

export type Machine = {
  /** `e_machine` of the ELF header (System V ABI, "ELF Header"). */
  readonly elfMachine: number
  /** The largest page that a kernel for this machine may have; segments begin at its multiples. */
  readonly pageBytes: number
  /** Code that prints a text and ends. @param offset of the text from the first byte of the code @param sizeBytes of the text */
  code(offset: number, sizeBytes: number): Buffer
}

const HEADER_BYTES = 64
const SEGMENT_BYTES = 56
const SEGMENTS = 2
const CODE_AT = HEADER_BYTES + SEGMENTS * SEGMENT_BYTES
/** Where linkers put programs, too: a multiple of every page size, and far from the addresses that Linux reserves. */
const BASE_ADDRESS = 0x400000

const PT_LOAD = 1
const PT_GNU_STACK = 0x6474e551
const EXECUTE = 1
const WRITE = 2
const READ = 4

/** @param text of ASCII characters, at most 65,535: a number of 16 bits has to hold its size */
export function elfThatPrints(text: string, machine: Machine): Buffer {
  const message = Buffer.from(text, 'ascii')
  const codeBytes = machine.code(0, message.length).length // no instruction depends on where the text lies, only its operand does
  const code = machine.code(codeBytes, message.length)
  const sizeBytes = CODE_AT + code.length + message.length
  return Buffer.concat([
    fileHeader(machine),
    segment({ type: PT_LOAD, flags: READ | EXECUTE, address: BASE_ADDRESS, sizeBytes, align: machine.pageBytes }),
    // says that no code runs on the stack; without it old kernels would allow that
    segment({ type: PT_GNU_STACK, flags: READ | WRITE, address: 0, sizeBytes: 0, align: 16 }),
    code,
    message,
  ])
}

function fileHeader({ elfMachine }: Machine): Buffer {
  const header = Buffer.alloc(HEADER_BYTES)
  header.write('\x7fELF', 0, 'latin1')
  header.set([2, 1, 1], 4) // 64 bits, little-endian, version 1; the ABI of System V is 0
  header.writeUInt16LE(2, 16) // e_type: an executable for fixed addresses
  header.writeUInt16LE(elfMachine, 18)
  header.writeUInt32LE(1, 20) // e_version
  header.writeBigUInt64LE(BigInt(BASE_ADDRESS + CODE_AT), 24) // e_entry
  header.writeBigUInt64LE(BigInt(HEADER_BYTES), 32) // e_phoff
  header.writeUInt16LE(HEADER_BYTES, 52) // e_ehsize
  header.writeUInt16LE(SEGMENT_BYTES, 54) // e_phentsize
  header.writeUInt16LE(SEGMENTS, 56) // e_phnum
  header.writeUInt16LE(64, 58) // e_shentsize, of which there are none
  return header
}

type Segment = {
  readonly type: number
  readonly flags: number
  readonly address: number
  readonly sizeBytes: number
  readonly align: number
}

/** A program header for the file from its first byte on: a segment's offset and address must agree modulo the page size. */
function segment({ type, flags, address, sizeBytes, align }: Segment): Buffer {
  const header = Buffer.alloc(SEGMENT_BYTES)
  header.writeUInt32LE(type, 0)
  header.writeUInt32LE(flags, 4)
  header.writeBigUInt64LE(BigInt(address), 16) // p_vaddr
  header.writeBigUInt64LE(BigInt(address), 24) // p_paddr
  header.writeBigUInt64LE(BigInt(sizeBytes), 32) // p_filesz
  header.writeBigUInt64LE(BigInt(sizeBytes), 40) // p_memsz
  header.writeBigUInt64LE(BigInt(align), 48)
  return header
}
