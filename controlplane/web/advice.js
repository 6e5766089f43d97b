// What went wrong, in words that tell what to do.

/** @typedef {{code: string, title: string, text: string, fixes: string[], detail?: string}} Failure */

/** @returns {Failure} */
export function credentialsFailure(status, message) {
  switch (status) {
    case 0:
      return {
        code: 'control-plane-unreachable',
        title: 'The control plane does not answer',
        text: 'The page loaded, but the request for credentials got no answer.',
        fixes: ['Check that forebay-controlplane still runs.', 'Check the reverse proxy before it, if there is one.'],
        detail: message,
      };
    case 401:
      return {
        code: 'unauthorized',
        title: 'The API key is not known',
        text: 'The control plane refused this key.',
        fixes: ['Enter a key from the file that api.keys_file names.', 'After editing that file, wait two seconds or send SIGHUP.'],
      };
    case 429:
      return {
        code: 'rate-limited',
        title: 'Too many requests',
        text: 'This address asked for credentials too often.',
        fixes: ['Wait a few seconds and start again.', 'Behind a reverse proxy, name it in listen.trusted_proxies.'],
      };
    case 503:
      return {
        code: 'unavailable',
        title: 'The control plane cannot make credentials now',
        text: message,
        fixes: ['Open /readyz: it lists what is missing.'],
      };
    default:
      return {
        code: `http-${status}`,
        title: 'No credentials',
        text: message || `The control plane answered ${status}.`,
        fixes: ['The control plane\'s log says more.'],
      };
  }
}

/**
 * No relay candidate on one side.
 * @param {{url: string, errorCode: number, errorText: string}[]} errors
 * @returns {Failure}
 */
export function candidatesFailure(urls, errors) {
  const detail = errors.map((e) => `${e.url}: ${e.errorCode} ${e.errorText}`).join('; ');
  const failure = (code, title, text, fixes) => ({ code, title, text, fixes, detail });
  const answered = errors.find((e) => e.errorCode >= 300 && e.errorCode < 700);
  switch (answered?.errorCode) {
    case 401:
      return failure('turn-unauthorized', 'The TURN server refuses the credentials',
        'It answered, but does not accept what the control plane signed.', [
          'Open /readyz: the data plane may not have this control plane\'s secret.',
          'Compare the clocks of both hosts: credentials carry their expiry.',
          'With another TURN server, its static-auth-secret must equal the first of turn.secrets.',
        ]);
    case 403:
      return failure('turn-forbidden', 'The TURN server forbids it', 'It answered 403 (Forbidden).',
        ['The data plane may be draining: open /readyz.', 'Check the peer policy ([peers]).']);
    case 486:
      return failure('turn-quota', 'The quota of this user is spent', 'It answered 486 (Allocation Quota Reached).',
        ['Wait until older allocations expire, or raise the quota of the data plane.']);
    case 508:
      return failure('turn-capacity', 'The TURN server has no relay port left', 'It answered 508 (Insufficient Capacity).',
        ['Look at forebay_relay_ports_free.', 'Widen relay.ports or add a relay address.']);
    case undefined:
      break;
    default:
      return failure(`turn-${answered.errorCode}`, 'The TURN server refuses',
        `It answered ${answered.errorCode} ${answered.errorText}.`, ['RFC 8656 §19 explains the number.']);
  }
  return failure('no-relay-candidate', 'No relay candidate: the TURN server cannot be reached',
    `The browser got no answer from ${urls.join(', ')}.`, [
      'Check that the data plane runs and listens on this address and port.',
      'Open the UDP port in the firewall and in the cloud\'s security group, towards the server.',
      'If this network blocks UDP, a TCP or TLS URL is needed.',
      'Check that turn.urls names an address this browser can reach, not a private one.',
    ]);
}

/** Both sides have relay candidates, but no pair works. @returns {Failure} */
export function connectionFailure(candidates) {
  const hosts = [...new Set(candidates.map((c) => c.address).filter(Boolean))];
  return {
    code: 'ice-failed',
    title: 'The two relayed addresses do not reach each other',
    text: 'Both sides got a relayed address, but no packet passed from one to the other.',
    fixes: [
      'Open the relay ports (relay.ports of the data plane) for UDP from anywhere, in both directions.',
      'Behind a one-to-one NAT, map the address with relay.external.',
      hosts.some(isPrivate)
        ? `The relayed address ${hosts.filter(isPrivate)[0]} is private: on other TURN servers it must be allowed as a peer.`
        : 'Look at forebay_packets_dropped_total: the reasons peer_denied and no_permission name a policy.',
    ],
    detail: candidates.map((c) => `${c.side} ${c.address}:${c.port}`).join('; '),
  };
}

/** The connection stood and went away. @returns {Failure} */
export function lostFailure() {
  return {
    code: 'connection-lost',
    title: 'The connection broke',
    text: 'Media was relayed, then nothing came through any more.',
    fixes: ['Check that the data plane still runs.', 'If this computer changed its network, start again.'],
  };
}

/** @returns {Failure} */
export function mediaFailure() {
  return {
    code: 'no-media',
    title: 'Connected, but no picture comes through',
    text: 'The connection checks pass the relay; the media does not.',
    fixes: [
      'Check the path\'s MTU: small packets pass where large ones are lost.',
      'Look at forebay_send_errors_total and forebay_kernel_drops_total of the data plane.',
    ],
  };
}

/** @returns {Failure} */
export function unexpectedFailure(error) {
  return {
    code: 'unexpected',
    title: 'The check itself failed',
    text: 'The browser refused a step.',
    fixes: ['Try a current Chromium, Firefox or Safari.', 'WebRTC may be switched off by a policy or an extension.'],
    detail: `${error?.name ?? 'Error'}: ${error?.message ?? error}`,
  };
}

function isPrivate(address) {
  return /^(10\.|127\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|169\.254\.|100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.|f[cd]|fe80:|::1$)/i.test(address);
}
