/** Fills a registry by plain HTTP, as any client would push. */
import type { Content, Image, Index } from './image.ts'

export async function push(registryUrl: string, repository: string, tag: string, pushed: Image | Index): Promise<void> {
  if ('images' in pushed) for (const image of pushed.images) await push(registryUrl, repository, image.manifest.digest, image)
  else for (const blob of pushed.blobs) await pushBlob(registryUrl, repository, blob)
  const { mediaType, bytes } = pushed.manifest
  await send(`${registryUrl}/v2/${repository}/manifests/${tag}`, 'PUT', bytes, mediaType)
}

async function pushBlob(registryUrl: string, repository: string, { digest, bytes }: Content): Promise<void> {
  const upload = await send(`${registryUrl}/v2/${repository}/blobs/uploads/`, 'POST')
  const location = new URL(upload.headers.get('location') ?? '', registryUrl)
  location.searchParams.set('digest', digest)
  await send(location.href, 'PUT', bytes, 'application/octet-stream')
}

async function send(url: string, method: string, body?: Buffer, contentType?: string): Promise<Response> {
  const response = await fetch(url, { method, ...(body && { body }), ...(contentType && { headers: { 'content-type': contentType } }) })
  const text = await response.text()
  if (!response.ok) throw new Error(`${method} ${url}: ${response.status} ${text}`)
  return response
}
