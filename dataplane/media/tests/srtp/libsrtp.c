/* Protects and unprotects packets with libsrtp, for comparison.
 *
 * Standard input: a profile (1 AES_CM_128_HMAC_SHA1_80, 2 AEAD_AES_128_GCM,
 * 3 AEAD_AES_256_GCM), master key and salt, then requests: one letter (p, u:
 * protect, unprotect RTP; P, U: RTCP), a length of two bytes, a packet. Standard
 * output, per request: 1 when it was accepted, a length of two bytes, the
 * result. */
#include <srtp2/srtp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static int get(void *to, size_t len) { return fread(to, 1, len, stdin) == len; }

static srtp_t session(int profile, unsigned char *key, srtp_ssrc_type_t type) {
    srtp_policy_t policy;
    srtp_t made;
    memset(&policy, 0, sizeof policy);
    switch (profile) {
    case 1:
        srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(&policy.rtp);
        srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(&policy.rtcp);
        break;
    case 2:
        srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy.rtp);
        srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy.rtcp);
        break;
    default:
        srtp_crypto_policy_set_aes_gcm_256_16_auth(&policy.rtp);
        srtp_crypto_policy_set_aes_gcm_256_16_auth(&policy.rtcp);
    }
    policy.ssrc.type = type;
    policy.key = key;
    policy.window_size = 960;
    return srtp_create(&made, &policy) == srtp_err_status_ok ? made : NULL;
}

int main(void) {
    unsigned char profile, key[64];
    static const size_t lengths[] = {0, 30, 28, 44};
    if (!get(&profile, 1) || profile < 1 || profile > 3 || !get(key, lengths[profile])) return 2;
    if (srtp_init() != srtp_err_status_ok) return 3;
    srtp_t out = session(profile, key, ssrc_any_outbound);
    srtp_t in = session(profile, key, ssrc_any_inbound);
    if (!out || !in) return 4;
    unsigned char head[3];
    static uint32_t aligned[1024];
    unsigned char *packet = (unsigned char *)aligned;
    while (get(head, 3)) {
        int len = head[1] << 8 | head[2];
        if (len > 2048 || !get(packet, len)) return 5;
        srtp_err_status_t status;
        switch (head[0]) {
        case 'p': status = srtp_protect(out, packet, &len); break;
        case 'u': status = srtp_unprotect(in, packet, &len); break;
        case 'P': status = srtp_protect_rtcp(out, packet, &len); break;
        case 'U': status = srtp_unprotect_rtcp(in, packet, &len); break;
        default: return 6;
        }
        if (status != srtp_err_status_ok) len = 0;
        unsigned char answer[3] = {status == srtp_err_status_ok, len >> 8, len & 255};
        fwrite(answer, 1, 3, stdout);
        fwrite(packet, 1, len, stdout);
        fflush(stdout);
    }
    return 0;
}
