/* SPDX-License-Identifier: Apache-2.0 */
/*
 * idmap: user and group id maps as values and as text.  Pure.
 *
 * Inside a box with a subordinate range the ids 0..65535 exist.  The agent (1000) is the invoking
 * user, so that files of the workspace keep their owner; all others come from the range, which is
 * used without a gap: 0..999 are its first thousand ids, 1001..65535 the following ones.
 *
 * The inner namespace's map is the identity, but the kernel accepts it only when no line crosses an
 * extent of the outer map; therefore it is cut where the outer one is.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "box/box_internal.h"

static const char *const mode_names[BOX_ID_MODE_MAX] = {
	[BOX_ID_RANGE] = "range",
	[BOX_ID_SINGLE] = "single",
	[BOX_ID_ROOT] = "root",
};

const char *box_id_mode_name(enum box_id_mode m)
{
	return (unsigned)m < BOX_ID_MODE_MAX ? mode_names[m] : "unknown";
}

uint32_t idmap_range(struct box_extent *x, uint32_t sub, uint32_t user)
{
	x[0] = (struct box_extent){ 0, sub, BOX_AGENT_ID };
	x[1] = (struct box_extent){ BOX_AGENT_ID, user, 1 };
	x[2] = (struct box_extent){ BOX_AGENT_ID + 1, sub + BOX_AGENT_ID,
				    BOX_IDS - BOX_AGENT_ID - 1 };
	return 3;
}

uint32_t idmap_single(struct box_extent *x, uint32_t user)
{
	x[0] = (struct box_extent){ 0, user, 1 };
	return 1;
}

uint32_t idmap_root(struct box_extent *x, uint32_t base)
{
	x[0] = (struct box_extent){ 0, base, BOX_IDS };
	return 1;
}

void idmap_text(const struct box_extent *x, uint32_t n, struct buf *out)
{
	for (uint32_t i = 0; i < n; i++)
		buf_printf(out, "%" PRIu32 " %" PRIu32 " %" PRIu32 "\n", x[i].inside, x[i].outside,
			   x[i].count);
}

void box_ids_inner_map(const struct box_extent *outer, uint32_t n, struct buf *out)
{
	for (uint32_t i = 0; i < n; i++)
		buf_printf(out, "%" PRIu32 " %" PRIu32 " %" PRIu32 "\n", outer[i].inside,
			   outer[i].inside, outer[i].count);
}

int64_t idmap_outside(const struct box_extent *x, uint32_t n, uint32_t inside)
{
	for (uint32_t i = 0; i < n; i++)
		if (inside >= x[i].inside && inside - x[i].inside < x[i].count)
			return (int64_t)x[i].outside + (inside - x[i].inside);
	return -1;
}

/* One field up to ':' or the end, copied into a small buffer; NULL when it does not fit. */
static const char *next_field(const char **p, const char *end, char *out, size_t size)
{
	const char *colon = memchr(*p, ':', (size_t)(end - *p));
	const char *stop = colon ? colon : end;
	size_t n = (size_t)(stop - *p);

	if (n >= size || memchr(*p, '\0', n))
		return NULL;
	memcpy(out, *p, n);
	out[n] = '\0';
	*p = colon ? colon + 1 : end;
	return out;
}

static int parse_subid_line(const char *line, const char *end, const char *name, uint32_t id,
			    uint32_t need, uint32_t *ret_start)
{
	char owner[256];
	char start_text[16];
	char count_text[16];
	uint64_t number;
	uint64_t start;
	uint64_t count;

	if (!next_field(&line, end, owner, sizeof(owner)) ||
	    !next_field(&line, end, start_text, sizeof(start_text)) ||
	    !next_field(&line, end, count_text, sizeof(count_text)) || line != end)
		return -EINVAL;
	if (!(name && strcmp(owner, name) == 0) &&
	    !(text_u64(owner, UINT32_MAX - 1, &number) == 0 && number == id))
		return -ENOENT;
	if (text_u64(start_text, UINT32_MAX - 1, &start) < 0 ||
	    text_u64(count_text, UINT32_MAX, &count) < 0)
		return -EINVAL;
	/* (uid_t)-1 means "unchanged" to the kernel and can never be an id. */
	if (start == 0 || count < need || start + need > UINT32_MAX)
		return -ENOENT;
	*ret_start = (uint32_t)start;
	return 0;
}

int idmap_find_subid(const char *text, size_t n, const char *name, uint32_t id, uint32_t need,
		     uint32_t *ret_start)
{
	const char *end = text + n;

	while (text < end) {
		const char *nl = memchr(text, '\n', (size_t)(end - text));
		const char *stop = nl ? nl : end;

		if (parse_subid_line(text, stop, name, id, need, ret_start) == 0)
			return 0;
		text = nl ? nl + 1 : end;
	}
	return -ENOENT;
}
