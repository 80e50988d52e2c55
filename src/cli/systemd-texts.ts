/** The files of `systemd/`, which `build.mjs` puts into the program: it installs itself without any other file. */

export type SystemdTexts = Readonly<Record<'service' | 'socket' | 'sysusers' | 'tmpfiles' | 'config', string>>

declare const __SYSTEMD_TEXTS__: SystemdTexts

/** Undefined in a program that was not built. */
export const SYSTEMD_TEXTS: SystemdTexts | undefined = typeof __SYSTEMD_TEXTS__ === 'undefined' ? undefined : __SYSTEMD_TEXTS__
