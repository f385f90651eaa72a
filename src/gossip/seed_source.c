#include "gossip/seed_source.h"
#include "core/mem.h"
#include <arpa/nameser.h>
#include <curl/curl.h>
#include <netdb.h>
#include <resolv.h>
#include <string.h>

/* ---- DNS ---------------------------------------------------------------------------------------
 */

#define DNS_WAIT_S 2 /* for one answer; twice as long the second time */
#define DNS_TRIES  2

static bool ask(struct __res_state *r, const char *name, uint8_t *packet, size_t room,
                struct seed_list *out, struct error *e)
{
    int n = res_nsearch(r, name, ns_c_in, ns_t_txt, packet, (int)room);
    if (n < 0 && r->res_h_errno == NO_DATA)
        return true;
    if (n < 0)
        return error_set(e, "%s: %s", name, hstrerror(r->res_h_errno));
    return seed_list_add_txt(out, packet, (size_t)n < room ? (size_t)n : room, e);
}

/* The state is made anew each time: resolv.conf may have changed. */
bool seed_source_txt(const char *name, struct seed_list *out, struct error *e)
{
    struct __res_state r;
    memset(&r, 0, sizeof r);
    if (res_ninit(&r) != 0)
        return error_set(e, "%s: the resolver can't be set up", name);
    r.retrans = r.retrans < DNS_WAIT_S ? r.retrans : DNS_WAIT_S;
    r.retry = r.retry < DNS_TRIES ? r.retry : DNS_TRIES;
    uint8_t *packet = mem_alloc(NS_MAXMSG);
    bool ok = ask(&r, name, packet, NS_MAXMSG, out, e);
    mem_free(packet);
    res_nclose(&r);
    return ok;
}

/* ---- HTTP --------------------------------------------------------------------------------------
 */

struct body {
    struct buf bytes;
    bool too_large;
};

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
    struct body *b = arg;
    b->too_large = size * n > SEED_HTTP_MAX - b->bytes.len;
    if (b->too_large)
        return 0; /* ends the transfer */
    buf_add(&b->bytes, p, size * n);
    return size * n;
}

static CURLcode set_up(CURL *c, const char *url, struct body *b, char *why)
{
    CURLcode rc = curl_easy_setopt(c, CURLOPT_URL, url);
#if LIBCURL_VERSION_NUM >= 0x075500
    rc = rc ? rc : curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    rc = rc ? rc : curl_easy_setopt(c, CURLOPT_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS);
#endif
#if LIBCURL_VERSION_NUM >= 0x075700
    /* who is late isn't waited for: not for its name to resolve either */
    rc = rc ? rc : curl_easy_setopt(c, CURLOPT_QUICK_EXIT, 1L);
#endif
    rc = rc ? rc : curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    rc = rc ? rc : curl_easy_setopt(c, CURLOPT_PROXY, "");
    rc = rc ? rc : curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)SEED_HTTP_MS);
    rc = rc ? rc : curl_easy_setopt(c, CURLOPT_ERRORBUFFER, why);
    rc = rc ? rc : curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    return rc ? rc : curl_easy_setopt(c, CURLOPT_WRITEDATA, b);
}

static bool get(CURL *c, const char *url, struct body *b, struct error *e)
{
    char why[CURL_ERROR_SIZE] = "";
    long status = 0;
    CURLcode rc = set_up(c, url, b, why);
    rc = rc ? rc : curl_easy_perform(c);
    if (b->too_large)
        return error_set(e, "%.200s: the answer has more than %d bytes", url, SEED_HTTP_MAX);
    if (rc != CURLE_OK)
        return error_set(e, "%.200s: %s", url, *why ? why : curl_easy_strerror(rc));
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    return status == 200 || error_set(e, "%.200s: HTTP status %ld", url, status);
}

bool seed_source_http(const char *url, struct seed_list *out, struct error *e)
{
    struct body b = {BUF_INIT, false};
    CURL *c = curl_easy_init();
    bool ok = c ? get(c, url, &b, e) : error_set(e, "%.200s: libcurl doesn't start", url);
    if (ok)
        seed_list_add_text(out, buf_slice(&b.bytes));
    curl_easy_cleanup(c);
    buf_fini(&b.bytes);
    return ok;
}

bool seed_source_start(struct error *e)
{
    CURLcode rc = curl_global_init(CURL_GLOBAL_DEFAULT);
    return rc == CURLE_OK || error_set(e, "libcurl: %s", curl_easy_strerror(rc));
}

void seed_source_end(void)
{
    curl_global_cleanup();
}
