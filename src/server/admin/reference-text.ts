/** An image as people write it in an admin request: as in the lists that `load` reads. */
import { OciError } from '../../oci/error.ts'
import { type ImageName, parseImageName } from '../../oci/image-name.ts'
import type { RegistryNames } from '../which-registry.ts'
import { mistake } from './parameters.ts'

const WANT = 'registry/repository:tag or registry/repository@digest'

/** @param at the parameter it stands in, for the message. @throws OciError 400 */
export function readImageName(text: string, names: RegistryNames, at: string): ImageName {
  try {
    return parseImageName(text, names.configured)
  } catch (error) {
    if (!(error instanceof OciError)) throw error
    const { message } = mistake(at, text, WANT)
    throw new OciError(400, error.code, `${message}: ${error.message.replace(/\p{Cc}/gu, ' ')}`) // on one line
  }
}
