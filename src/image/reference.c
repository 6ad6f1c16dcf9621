/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reference: the names of images, and digests.  Pure.
 *
 * The grammar is that of Docker's distribution/reference: REPOSITORY is components of lower-case
 * letters and digits, joined inside by one '.', one or two '_' or any number of '-', and separated
 * by '/'; a first component that looks like a host (it has a dot, a colon or a capital, or is
 * "localhost") is one.  Prefixes such as "oci:" are those of containers-transports(5).
 *
 * Invariant: what a struct image_ref of a registry holds can stand in a URL and in a file name as
 * it is.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "image/image.h"

enum { NAME_MAX_LEN = 255, TAG_MAX_LEN = 128, TEXT_MAX_LEN = 4096 };

#define DEFAULT_HOST "docker.io"
#define DEFAULT_TAG  "latest"
#define OFFICIAL     "library/"

static const struct {
	const char *prefix;
	enum image_source source;
	bool path; /* what follows is a path */
	bool name; /* what stands behind the path is kept as the tag */
} prefixes[] = {
	{ "oci:", IMAGE_OCI_DIR, true, true },
	{ "oci-archive:", IMAGE_OCI_ARCHIVE, true, true },
	{ "docker-archive:", IMAGE_DOCKER_ARCHIVE, true, true },
	{ "dir:", IMAGE_DIR, true, false },
	{ "docker-daemon:", IMAGE_DOCKER_DAEMON, false, false },
};
_Static_assert(ARRAY_SIZE(prefixes) == IMAGE_SOURCE_MAX - 1, "a prefix for all but the registry");

void image_ref_clear(struct image_ref *r)
{
	free(r->host);
	free(r->repository);
	free(r->tag);
	free(r->digest);
	free(r->path);
	*r = (struct image_ref){ 0 };
}

/* --- characters --------------------------------------------------------------------------------
 */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool is_upper(char c)
{
	return c >= 'A' && c <= 'Z';
}

static bool is_alnum(char c)
{
	return is_lower(c) || is_upper(c) || is_digit(c);
}

/* --- digests -----------------------------------------------------------------------------------
 */

bool image_digest_ok(const char *s)
{
	if (!text_starts(s, "sha256:") || strlen(s) != IMAGE_DIGEST_LEN)
		return false;
	return strspn(s + strlen("sha256:"), "0123456789abcdef") == IMAGE_HEX_LEN;
}

int image_digest_check(const char *what, const char *s, struct err *e)
{
	auto_buf shown = BUF_INIT;

	if (image_digest_ok(s))
		return 0;
	text_escape(&shown, s, strlen(s), 100);
	if (text_starts(s, "sha512:") || text_starts(s, "sha384:") || text_starts(s, "blake3:"))
		return err_set(e, ERR_INPUT, -ENOTSUP,
			       "%s: digest '%.40s': only sha256 digests are supported", what,
			       buf_str(&shown));
	return err_set(e, ERR_INPUT, -EINVAL,
		       "%s: '%s' is no digest (sha256: and 64 lower-case hexadecimal digits)", what,
		       buf_str(&shown));
}

const char *image_digest_hex(const char *digest)
{
	return digest + strlen("sha256:");
}

/* --- the parts ---------------------------------------------------------------------------------
 */

/* [a-z0-9]+ ( ( "." | "_" | "__" | "-"+ ) [a-z0-9]+ )* */
static bool component_ok(const char *s, size_t n)
{
	size_t i = 0;

	while (i < n) {
		size_t start = i;
		size_t sep;

		while (i < n && (is_lower(s[i]) || is_digit(s[i])))
			i++;
		if (i == start)
			return false;
		if (i == n)
			return true;
		sep = i;
		if (s[i] == '.')
			i++;
		else if (s[i] == '_')
			i += i + 1 < n && s[i + 1] == '_' ? 2 : 1;
		else
			while (i < n && s[i] == '-')
				i++;
		if (i == sep)
			return false;
	}
	return false; /* nothing, or a separator at the end */
}

static bool repository_ok(const char *s)
{
	for (;;) {
		size_t n = strcspn(s, "/");

		if (!component_ok(s, n))
			return false;
		if (s[n] == '\0')
			return true;
		s += n + 1;
	}
}

/* One label of a domain name, letters, digits and inside hyphens. */
static bool label_ok(const char *s, size_t n)
{
	if (n == 0 || n > 63 || s[0] == '-' || s[n - 1] == '-')
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!is_alnum(s[i]) && s[i] != '-')
			return false;
	}
	return true;
}

static bool host_ok(const char *s)
{
	uint64_t port;

	if (s[0] == '[') {
		size_t n = strspn(s + 1, "0123456789abcdefABCDEF:.");

		if (n < 2 || n > 45 || s[1 + n] != ']')
			return false;
		s += n + 2;
	} else {
		do {
			size_t n = strcspn(s, ".:");

			if (!label_ok(s, n))
				return false;
			s += n;
		} while (*s == '.' && s++);
	}
	if (*s == '\0')
		return true;
	return *s == ':' && text_u64(s + 1, 65535, &port) == 0 && port > 0;
}

/* [A-Za-z0-9_][A-Za-z0-9_.-]{0,127} */
static bool tag_ok(const char *s)
{
	size_t n = strlen(s);

	if (n == 0 || n > TAG_MAX_LEN || !(is_alnum(s[0]) || s[0] == '_'))
		return false;
	for (size_t i = 1; i < n; i++) {
		if (!is_alnum(s[i]) && !strchr("_.-", s[i]))
			return false;
	}
	return true;
}

static bool looks_like_host(const char *s, size_t n)
{
	if (n == strlen("localhost") && strncmp(s, "localhost", n) == 0)
		return true;
	for (size_t i = 0; i < n; i++) {
		if (s[i] == '.' || s[i] == ':' || is_upper(s[i]))
			return true;
	}
	return false;
}

/* --- a reference to a registry ------------------------------------------------------------------
 */

static int refuse(struct err *e, const char *text, const char *why)
{
	auto_buf shown = BUF_INIT;

	text_escape(&shown, text, strlen(text), 300);
	err_set(e, ERR_USAGE, -EINVAL, "image '%s': %s", buf_str(&shown), why);
	return err_hint(e, "an image is written as python:3-slim, ghcr.io/NAME/IMAGE:TAG or "
			   "localhost:5000/IMAGE@sha256:...");
}

/* Host and repository from `name`, which has neither tag nor digest. */
static int split_name(const char *text, const char *name, struct image_ref *ret, struct err *e)
{
	size_t first = strcspn(name, "/");

	if (name[first] == '/' && looks_like_host(name, first)) {
		ret->host = xstrndup(name, first);
		for (char *p = ret->host; *p; p++)
			*p = (char)(is_upper(*p) ? *p - 'A' + 'a' : *p);
		/* "R/a": what made it a host is gone when it is written as hosts are. */
		if (!looks_like_host(ret->host, first))
			return refuse(e, text, "a repository is written in lower case");
		if (!host_ok(ret->host))
			return refuse(e, text, "what stands before the first slash is no host");
		if (strcmp(ret->host, "index." DEFAULT_HOST) == 0) {
			free(ret->host);
			ret->host = xstrdup(DEFAULT_HOST);
		}
		name += first + 1;
	} else {
		ret->host = xstrdup(DEFAULT_HOST);
	}
	ret->repository = strcmp(ret->host, DEFAULT_HOST) == 0 && !strchr(name, '/')
				  ? xasprintf(OFFICIAL "%s", name)
				  : xstrdup(name);
	for (const char *p = name; *p; p++) {
		if (is_upper(*p))
			return refuse(e, text, "a repository is written in lower case");
	}
	if (!repository_ok(ret->repository))
		return refuse(e, text, "not the name of an image");
	if (strlen(ret->host) + 1 + strlen(ret->repository) > NAME_MAX_LEN)
		return refuse(e, text, "the name is longer than 255 bytes");
	return 0;
}

static int parse_registry(const char *text, const char *s, struct image_ref *ret, struct err *e)
{
	auto_free char *name = xstrdup(s);
	char *at = strchr(name, '@');
	char *slash, *colon;
	int r;

	if (at) {
		*at = '\0';
		r = image_digest_check("image", at + 1, e);
		if (r < 0) {
			e->kind = ERR_USAGE;
			return r;
		}
		ret->digest = xstrdup(at + 1);
	}
	slash = strrchr(name, '/');
	colon = strrchr(slash ? slash : name, ':');
	if (colon) {
		*colon = '\0';
		if (!tag_ok(colon + 1))
			return refuse(e, text, "not a tag: letters, digits, _ . - (at most 128)");
	}
	/* As Docker: a tag beside a digest means nothing, the digest decides. */
	if (!at)
		ret->tag = xstrdup(colon ? colon + 1 : DEFAULT_TAG);
	if (strlen(name) == IMAGE_HEX_LEN && strspn(name, "0123456789abcdef") == IMAGE_HEX_LEN)
		return refuse(e, text, "64 hexadecimal digits are no name");
	return split_name(text, name, ret, e);
}

/* --- local sources ------------------------------------------------------------------------------
 */

static int parse_path(const char *text, const char *s, bool name, struct image_ref *ret,
		      struct err *e)
{
	size_t n = name ? strcspn(s, ":") : strlen(s);

	if (n == 0)
		return refuse(e, text, "the path is empty");
	if (s[n] == ':' && s[n + 1] == '\0')
		return refuse(e, text, "the tag is empty");
	ret->path = xstrndup(s, n);
	if (s[n] == ':')
		ret->tag = xstrdup(s + n + 1);
	return 0;
}

static int parse(const char *text, struct image_ref *ret, struct err *e)
{
	if (strlen(text) > TEXT_MAX_LEN)
		return refuse(e, text, "longer than 4096 bytes");
	if (!text_is_utf8(text, strlen(text)))
		return refuse(e, text, "not UTF-8");
	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
		const char *rest = text + strlen(prefixes[i].prefix);

		if (!text_starts(text, prefixes[i].prefix))
			continue;
		ret->source = prefixes[i].source;
		return prefixes[i].path ? parse_path(text, rest, prefixes[i].name, ret, e)
					: parse_registry(text, rest, ret, e);
	}
	if (text_starts(text, "docker://"))
		text += strlen("docker://");
	else if (text_starts(text, "http://") || text_starts(text, "https://"))
		return refuse(e, text, "an image has no http:// in front");
	return parse_registry(text, text, ret, e);
}

int image_ref_parse(const char *text, struct image_ref *ret, struct err *e)
{
	auto_image_ref ref = { 0 };
	struct err mine = ERR_INIT;
	int r = parse(text, &ref, e ? e : &mine);

	if (r < 0)
		return r;
	*ret = ref;
	ref = (struct image_ref){ 0 };
	return 0;
}

/* --- writing -------------------------------------------------------------------------------------
 */

/* Would it, with a tag behind it, be taken for another source: an image that is called "oci"? */
static bool is_prefix(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
		if (strlen(name) + 1 == strlen(prefixes[i].prefix) &&
		    text_starts(prefixes[i].prefix, name))
			return true;
	}
	return false;
}

char *image_ref_name(const struct image_ref *r, bool familiar)
{
	const char *repository = r->repository;

	if (!r->host)
		return xstrdup(r->path);
	if (!familiar || strcmp(r->host, DEFAULT_HOST) != 0)
		return xasprintf("%s/%s", r->host, repository);
	if (text_starts(repository, OFFICIAL) && !strchr(repository + strlen(OFFICIAL), '/'))
		repository += strlen(OFFICIAL);
	/* "docker.io/a.b/c" would be taken for a host without its own. */
	if (is_prefix(repository) ||
	    (strchr(repository, '/') && looks_like_host(repository, strcspn(repository, "/"))))
		return xasprintf("%s/%s", r->host, repository);
	return xstrdup(repository);
}

static char *write_ref(const struct image_ref *r, bool familiar)
{
	auto_free char *name = image_ref_name(r, familiar);
	const char *prefix = "";

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
		if (prefixes[i].source == r->source)
			prefix = prefixes[i].prefix;
	}
	if (r->digest)
		return xasprintf("%s%s@%s", prefix, name, r->digest);
	if (r->tag)
		return xasprintf("%s%s:%s", prefix, name, r->tag);
	return xasprintf("%s%s", prefix, name);
}

char *image_ref_canonical(const struct image_ref *r)
{
	return write_ref(r, false);
}

char *image_ref_familiar(const struct image_ref *r)
{
	return write_ref(r, true);
}
