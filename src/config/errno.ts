/** What went wrong with a file, in words: for messages to people. */

const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EEXIST: 'something that is no directory is in the way',
  EISDIR: 'it is a directory',
  ELOOP: 'its symbolic links go in a circle',
  EMFILE: 'too many open files',
  ENAMETOOLONG: 'its name is too long',
  ENOENT: 'no such file or directory',
  ENOSPC: 'no space left on the disk',
  ENOTDIR: 'part of its path is no directory',
  ENXIO: 'it is a pipe that nobody reads, or a socket',
  EPERM: 'operation not permitted',
  EROFS: 'the file system is read-only',
}

/** The reason of a failed system call: `permission denied`, or the first line of the error's message for what the table lacks. */
export function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  return REASONS[code ?? ''] ?? String(message).split('\n', 1)[0] ?? ''
}
