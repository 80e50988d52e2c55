/** Media types of manifests: which exist, which are asked for, and what kind of manifest each is. */

export const OCI_INDEX = 'application/vnd.oci.image.index.v1+json'
export const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json'
export const DOCKER_LIST = 'application/vnd.docker.distribution.manifest.list.v2+json'
export const DOCKER_MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json'
export const OCI_ARTIFACT = 'application/vnd.oci.artifact.manifest.v1+json'

/** Sent with every manifest request upstream, whatever the client sent: less makes registries convert or refuse. */
export const MANIFEST_ACCEPT = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST, OCI_ARTIFACT, '*/*;q=0.1'].join(', ')

const IMAGE_CONFIGS: ReadonlySet<string> = new Set([
  'application/vnd.oci.image.config.v1+json',
  'application/vnd.docker.container.image.v1+json',
])

/** Whether it is the config of an image that runs somewhere; artifacts have others. */
export function isImageConfig(mediaType: string): boolean {
  return IMAGE_CONFIGS.has(mediaType)
}

export type ManifestKind = 'index' | 'image' | 'artifact'

const KINDS: ReadonlyMap<string, ManifestKind> = new Map([
  [OCI_INDEX, 'index'],
  [DOCKER_LIST, 'index'],
  [OCI_MANIFEST, 'image'],
  [DOCKER_MANIFEST, 'image'],
  [OCI_ARTIFACT, 'artifact'],
])

/** The kind that a media type names; undefined for any other type. */
export function kindOfMediaType(mediaType: string): ManifestKind | undefined {
  return KINDS.get(mediaType)
}

/** A signed schema 1 manifest does not hash to its digest and current clients refuse it. */
export function isSchema1(mediaType: string): boolean {
  return /^application\/vnd\.docker\.distribution\.manifest\.v1\+/.test(mediaType)
}

/** A `Content-Type` without its parameters, lower-cased: `; charset=utf-8` breaks crane. */
export function essence(contentType: string | null | undefined): string {
  return (contentType ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? ''
}
