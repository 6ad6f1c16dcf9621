/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tar_extended: what stands in front of an entry: pax extended headers ('x', 'g') and GNU's long
 * names ('L', 'K').
 *
 * Their data was collected by tar.c and is bounded.  A value that is given twice for one entry
 * would be a choice of readers and is refused; a key that we do not know changes nothing.
 */
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/tar_internal.h"
#include "base/text.h"

static const char *const key_names[] = {
	[KEY_PATH] = "path",
	[KEY_LINK] = "linkpath",
	[KEY_SIZE] = "size",
	[KEY_MTIME] = "mtime",
	[KEY_UID] = "uid",
	[KEY_GID] = "gid",
	[KEY_SPARSE_NAME] = "GNU.sparse.name",
	[KEY_SPARSE_SIZE] = "GNU.sparse.realsize",
	[KEY_SPARSE_MAJOR] = "GNU.sparse.major",
	[KEY_SPARSE_MINOR] = "GNU.sparse.minor",
};
_Static_assert(ARRAY_SIZE(key_names) == KEY_MAX, "one name per key");

static int bad(struct err *e, const char *why)
{
	return err_set(e, ERR_INPUT, EBADMSG, "tar archive: %s", why);
}

/* Note an extended value; a second one for the same entry would be a choice of readers. */
static int claim(struct tar_reader *r, enum tar_key key, struct err *e)
{
	if ((r->set & 1U << key) != 0)
		return err_set(e, ERR_INPUT, EBADMSG, "tar archive: %s is given twice",
			       key_names[key]);
	r->set |= 1U << key;
	return 0;
}

static int take_name(struct tar_reader *r, enum tar_key key, const char *s, size_t n, struct err *e)
{
	int rc = claim(r, key, e);

	if (rc < 0)
		return rc;
	if (n == 0 || n > TAR_NAME_MAX)
		return bad(e, "a name is empty or longer than 4096 bytes");
	if (memchr(s, '\0', n) != NULL)
		return bad(e, "NUL in a name");
	buf_reset(&r->name[key]);
	buf_add(&r->name[key], s, n);
	return 0;
}

/* "[-]SECONDS[.FRACTION]"; digits behind the ninth are dropped. */
static int parse_time(const char *s, int64_t *ret, uint32_t *ret_ns)
{
	bool negative = s[0] == '-';
	size_t whole = strspn(s + negative, "0123456789");
	const char *p = s + negative + whole;
	uint32_t ns = 0, unit = 100000000;
	char text[24];
	uint64_t seconds;

	if (whole >= sizeof(text))
		return -EBADMSG;
	memcpy(text, s + negative, whole);
	text[whole] = '\0';
	if (text_u64(text, INT64_MAX, &seconds) < 0)
		return -EBADMSG;
	if (*p == '.') {
		for (p++; *p >= '0' && *p <= '9'; p++, unit /= 10)
			ns += unit * (uint32_t)(*p - '0');
	}
	if (*p != '\0')
		return -EBADMSG;
	*ret = negative ? -(int64_t)seconds : (int64_t)seconds;
	*ret_ns = ns;
	if (negative && ns != 0) {
		*ret -= 1;
		*ret_ns = 1000000000 - ns;
	}
	return 0;
}

/* One pax value; what follows it in memory is not NUL, so numbers are copied. */
static int take_value(struct tar_reader *r, enum tar_key key, const char *s, size_t n,
		      struct err *e)
{
	char text[64];
	int rc;

	if (key < KEY_NAMES)
		return take_name(r, key, s, n, e);
	rc = claim(r, key, e);
	if (rc < 0)
		return rc;
	if (n >= sizeof(text) || memchr(s, '\0', n) != NULL)
		return bad(e, "invalid number in an extended header");
	memcpy(text, s, n);
	text[n] = '\0';
	if (key == KEY_MTIME)
		rc = parse_time(text, &r->mtime, &r->mtime_ns);
	else
		rc = text_u64(text, INT64_MAX, &r->number[key]);
	return rc < 0 ? bad(e, "invalid number in an extended header") : 0;
}

/* Cut one record "LENGTH key=value\n" off the front; 0 or -EBADMSG. */
static int next_record(const char **p, size_t *left, const char **ret_key, size_t *ret_n)
{
	char text[8];
	size_t n = 0;
	uint64_t length;

	while (n < *left && n < sizeof(text) - 1 && (*p)[n] >= '0' && (*p)[n] <= '9') {
		text[n] = (*p)[n];
		n++;
	}
	text[n] = '\0';
	if (n == *left || (*p)[n] != ' ' || text_u64(text, *left, &length) < 0)
		return -EBADMSG;
	/* At least the digits, the space, one byte of key, "=" and the newline. */
	if (length < n + 4 || (*p)[length - 1] != '\n')
		return -EBADMSG;
	*ret_key = *p + n + 1;
	*ret_n = (size_t)length - n - 2;
	*p += length;
	*left -= (size_t)length;
	return 0;
}

static bool key_is(const char *key, size_t n, const char *name)
{
	return strlen(name) == n && memcmp(key, name, n) == 0;
}

/* Extended attributes are for image layers; in other archives they are one more unknown key. */
static const char xattr_prefix[] = "SCHILY.xattr.";

static int take_xattr(struct tar_reader *r, bool global, const char *key, size_t nkey,
		      const char *value, size_t n, struct err *e)
{
	const char *name = key + strlen(xattr_prefix);
	size_t nname = nkey - strlen(xattr_prefix);
	struct buf *data;

	if (!r->limits.layer)
		return 0;
	if (global)
		return err_set(e, ERR_INPUT, ENOTSUP,
			       "tar archive: a global header sets an attribute");
	if (nname > TAR_XATTR_NAME_MAX || n > TAR_XATTR_VALUE_MAX || r->nxattrs == TAR_XATTRS_MAX)
		return err_set(e, ERR_INPUT, EFBIG,
			       "tar archive: too many or too large attributes");
	for (size_t i = 0; i < r->nxattrs; i++) {
		if (key_is(name, nname, r->xattrs[i].name))
			return bad(e, "an attribute is given twice");
	}
	data = &r->xattr_data[r->nxattrs];
	buf_reset(data);
	buf_add(data, name, nname);
	buf_putc(data, '\0');
	buf_add(data, value, n);
	r->xattrs[r->nxattrs++] =
		(struct tar_xattr){ .name = data->data, .value = data->data + nname + 1, .len = n };
	return 0;
}

static int take_pair(struct tar_reader *r, bool global, const char *key, size_t nkey,
		     const char *value, size_t n, struct err *e)
{
	size_t k;

	if (nkey > strlen(xattr_prefix) && memcmp(key, xattr_prefix, strlen(xattr_prefix)) == 0)
		return take_xattr(r, global, key, nkey, value, n, e);
	for (k = 0; k < KEY_MAX && !key_is(key, nkey, key_names[k]); k++)
		;
	/* The older forms have keys that are not in the list. */
	if (nkey >= 10 && memcmp(key, "GNU.sparse", 10) == 0 && (k == KEY_MAX || !r->limits.layer))
		return err_set(e, ERR_INPUT, ENOTSUP,
			       "tar archive: sparse files %s are not supported",
			       r->limits.layer ? "of this version" : "in it");
	if (k == KEY_MAX)
		return 0;
	if (global)
		return err_set(e, ERR_INPUT, ENOTSUP, "tar archive: a global header sets %s",
			       key_names[k]);
	return take_value(r, (enum tar_key)k, value, n, e);
}

static int take_pax(struct tar_reader *r, bool global, struct err *e)
{
	const char *p = buf_str(&r->data);
	size_t left = r->data.len;

	while (left > 0) {
		const char *key, *eq;
		size_t n;
		int rc;

		if (next_record(&p, &left, &key, &n) < 0)
			return bad(e, "invalid extended header");
		eq = memchr(key, '=', n);
		if (eq == NULL || eq == key || memchr(key, '\0', (size_t)(eq - key)) != NULL)
			return bad(e, "invalid extended header");
		rc = take_pair(r, global, key, (size_t)(eq - key), eq + 1,
			       n - (size_t)(eq - key) - 1, e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* The data of an extended header is complete. */
int tar_take_extended(struct tar_reader *r, struct err *e)
{
	size_t n = r->data.len;
	const char *s = buf_str(&r->data);

	if (r->meta == 'x' || r->meta == 'g')
		return take_pax(r, r->meta == 'g', e);
	while (n > 0 && s[n - 1] == '\0')
		n--;
	return take_name(r, r->meta == 'L' ? KEY_PATH : KEY_LINK, s, n, e);
}

void tar_forget_extended(struct tar_reader *r)
{
	r->set = 0;
	r->had_pax = false;
	r->nxattrs = 0;
	r->sparse.active = r->sparse.text = r->sparse.more = false;
}
