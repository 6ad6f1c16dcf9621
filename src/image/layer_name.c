/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layer_name: what the names, owners and attributes of a layer's entries mean.  Pure.
 *
 * A name is taken apart lexically and never resolved: whether a component is a symbolic link, in
 * this layer or in one below, has no influence on where an entry goes.  Whiteouts follow the OCI
 * image specification, "Layer changesets".
 */
#include <errno.h>
#include <linux/capability.h>
#include <string.h>

#include "base/compat.h"
#include "base/mem.h"
#include "base/text.h"
#include "image/layer_internal.h"

#define WHITEOUT_PREFIX ".wh."
#define META_PREFIX	".wh..wh."
#define OPAQUE_NAME	".wh..wh..opq"

static int bad_name(const char *name, const char *why, struct err *e)
{
	auto_free char *shown = text_escaped(name);

	return err_set(e, ERR_INPUT, EINVAL, "layer: '%.200s': %s", shown, why);
}

static bool is_dots(const char *s, size_t n)
{
	return (n == 1 && s[0] == '.') || (n == 2 && s[0] == '.' && s[1] == '.');
}

/* The last component, which may be a whiteout; the path so far is its directory. */
static int take_last(const char *name, const char *last, size_t n, struct layer_name *ret,
		     struct err *e)
{
	const size_t prefix = strlen(WHITEOUT_PREFIX);

	if (n == strlen(OPAQUE_NAME) && memcmp(last, OPAQUE_NAME, n) == 0) {
		ret->kind = LAYER_NAME_OPAQUE;
		return 0;
	}
	ret->kind = LAYER_NAME_PLAIN;
	if (n >= prefix && memcmp(last, WHITEOUT_PREFIX, prefix) == 0) {
		last += prefix;
		n -= prefix;
		if (n == 0 || is_dots(last, n))
			return bad_name(name, "it hides nothing that has a name", e);
		ret->kind = LAYER_NAME_WHITEOUT;
	}
	if (ret->path.len)
		buf_putc(&ret->path, '/');
	buf_add(&ret->path, last, n);
	return 0;
}

int layer_name_parse(const char *name, struct layer_name *ret, struct err *e)
{
	const char *last = NULL;
	size_t last_n = 0, depth = 0;

	buf_reset(&ret->path);
	for (const char *p = name; *p;) {
		size_t n = strcspn(p, "/");
		bool dot = n == 1 && p[0] == '.';

		if (n == 2 && is_dots(p, n))
			return bad_name(name, "a name with '..'", e);
		if (n > LAYER_COMPONENT_MAX)
			return bad_name(name, "a component longer than 255 bytes", e);
		if (n > 0 && !dot) {
			if (++depth > LAYER_DEPTH_MAX)
				return bad_name(name, "nested more than 256 directories deep", e);
			if (n > strlen(META_PREFIX) &&
			    strncmp(p, META_PREFIX, strlen(META_PREFIX)) == 0 &&
			    !(n == strlen(OPAQUE_NAME) && strncmp(p, OPAQUE_NAME, n) == 0)) {
				ret->kind = LAYER_NAME_IGNORED;
				return 0;
			}
			if (last && strncmp(last, WHITEOUT_PREFIX, strlen(WHITEOUT_PREFIX)) == 0)
				return bad_name(name, "something below a whiteout", e);
			if (last) {
				if (ret->path.len)
					buf_putc(&ret->path, '/');
				buf_add(&ret->path, last, last_n);
			}
			last = p;
			last_n = n;
		}
		p += n;
		p += *p == '/';
	}
	if (last)
		return take_last(name, last, last_n, ret, e);
	ret->kind = LAYER_NAME_ROOT;
	return 0;
}

enum layer_xattr layer_xattr_class(const char *name)
{
	if (strcmp(name, "security.capability") == 0)
		return LAYER_XATTR_CAPABILITY;
	if (text_starts(name, "user.") && name[5] && !text_starts(name, "user.overlay."))
		return LAYER_XATTR_KEEP;
	return LAYER_XATTR_DROP;
}

int layer_capability(const char *value, size_t n, char ret[static LAYER_CAPABILITY_SIZE])
{
	const unsigned char *v = (const unsigned char *)value;
	uint32_t magic;

	_Static_assert(LAYER_CAPABILITY_SIZE == XATTR_CAPS_SZ_2, "the size of revision 2");
	if (n != XATTR_CAPS_SZ_2 && n != XATTR_CAPS_SZ_3)
		return -EINVAL;
	magic = v[0] | (uint32_t)v[1] << 8 | (uint32_t)v[2] << 16 | (uint32_t)v[3] << 24;
	if ((magic & VFS_CAP_REVISION_MASK) !=
	    (n == XATTR_CAPS_SZ_2 ? VFS_CAP_REVISION_2 : VFS_CAP_REVISION_3))
		return -EINVAL;
	memcpy(ret, value, LAYER_CAPABILITY_SIZE);
	ret[3] = (char)(VFS_CAP_REVISION_2 >> VFS_CAP_REVISION_SHIFT);
	return 0;
}

enum { NOBODY = 65534 };

int layer_owner(uint64_t id, uint32_t count, uint32_t *ret)
{
	if (id >= UINT32_MAX)
		return -EINVAL; /* (uid_t)-1 means "unchanged" */
	*ret = id < count ? (uint32_t)id : NOBODY;
	return 0;
}
