/** Which manifests of an index belong to the wanted platforms, and which are attestations of others. */
import type { Digest } from './digest.ts'
import type { Descriptor, Platform } from './manifest.ts'
import { formatPlatform, isForPlatform, NO_PLATFORM } from './platform.ts'

export type WantedPlatforms = readonly Platform[] | 'all'

/** Where an index does not say what a manifest is for, it may be for any platform, and is wanted. */
export function chooseManifests(listed: readonly Descriptor[], wanted: WantedPlatforms): readonly Descriptor[] {
  return listed.filter((descriptor) => {
    if (isAttestationOf(descriptor)) return false
    const { platform } = descriptor
    return wanted === 'all' || platform === undefined || wanted.some((each) => isForPlatform(each, platform))
  })
}

/** What the images of an index are for, where it says so. */
export function offeredPlatforms(listed: readonly Descriptor[]): readonly Platform[] {
  return listed.filter((descriptor) => !isAttestationOf(descriptor)).flatMap(({ platform }) => platform ?? [])
}

/** The wanted ones that nothing is offered for. */
export function missingPlatforms(wanted: WantedPlatforms, offered: readonly Platform[]): readonly Platform[] {
  return wanted === 'all' ? [] : wanted.filter((each) => !offered.some((platform) => isForPlatform(each, platform)))
}

/** What BuildKit put beside these images; where an attestation does not say whose it is, it may be anyone's. */
export function attestationsOf(listed: readonly Descriptor[], images: ReadonlySet<Digest>): readonly Descriptor[] {
  return listed.filter((descriptor) => {
    const subject = descriptor.annotations?.['vnd.docker.reference.digest']
    return isAttestationOf(descriptor) && (subject === undefined || images.has(subject as Digest))
  })
}

function isAttestationOf({ platform, annotations }: Descriptor): boolean {
  if (annotations?.['vnd.docker.reference.type'] === 'attestation-manifest') return true
  return platform !== undefined && formatPlatform(platform).toLowerCase() === NO_PLATFORM
}
