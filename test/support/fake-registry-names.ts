/** A resolver for tests: every name leads to 127.0.0.1, until look-ups are told to fail or to hang. */
import type { LookupAddress } from 'node:dns'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import type { Resolve } from '../../src/upstream/lookup.ts'
import type { ActiveFault } from './fake-registry-faults.ts'
import { Gate } from './fake-registry-reply.ts'

type Trouble = { readonly hostname: string | undefined; readonly answer: () => Promise<LookupAddress[]>; hits: number }

export class FakeNames {
  #troubles: Trouble[] = []
  /** Names that were looked up, in order. */
  readonly asked: string[] = []

  readonly resolve: Resolve = (hostname) => {
    this.asked.push(hostname)
    const trouble = this.#troubles.find((known) => known.hostname === undefined || known.hostname === hostname)
    if (trouble === undefined) return Promise.resolve([{ address: '127.0.0.1', family: 4 }])
    trouble.hits++
    return trouble.answer()
  }

  /** Look-ups say that they cannot be answered now. @param hostname the only name that this concerns; default: all */
  fail(hostname?: string): ActiveFault {
    return this.#trouble(hostname, () => Promise.reject(Object.assign(new Error('getaddrinfo EAI_AGAIN'), { code: 'EAI_AGAIN' })))
  }

  /** Look-ups do not answer, until the fault is removed: then those that wait fail. */
  hang(hostname?: string): ActiveFault {
    const gate = new Gate()
    const timedOut = (): Promise<LookupAddress[]> =>
      gate.opened.then(() => Promise.reject(Object.assign(new Error('getaddrinfo ETIMEOUT'), { code: 'ETIMEOUT' })))
    const fault = this.#trouble(hostname, timedOut)
    return {
      get hits() {
        return fault.hits
      },
      remove: () => {
        fault.remove()
        gate.open()
      },
    }
  }

  #trouble(hostname: string | undefined, answer: Trouble['answer']): ActiveFault {
    const trouble: Trouble = { hostname, answer, hits: 0 }
    this.#troubles.push(trouble)
    return {
      get hits() {
        return trouble.hits
      },
      remove: () => {
        this.#troubles = this.#troubles.filter((other) => other !== trouble)
      },
    }
  }
}

/** `http://127.0.0.1:port` where nobody listens: connections are refused. */
export async function deadOrigin(): Promise<string> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return `http://127.0.0.1:${port}`
}
