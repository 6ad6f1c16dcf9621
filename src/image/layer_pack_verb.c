/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layer_pack_verb: `ward-image pack`: what it is asked, what it gives up, what it says; the work is
 * in layer_pack.c, which tells the protocol.
 */
#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "base/mem.h"
#include "image/helper_confine.h"
#include "image/image_internal.h"
#include "image/layer_internal.h"

enum { OUT_FD = IMAGE_FD_FIRST, TREE_FD, OWNER_MAX = 65535 };

static int read_tree(const struct json *j, int fd, struct layer_tree *ret)
{
	const char *prefix;

	ret->fd = fd;
	ret->owner = -1;
	if (json_get_string(j, "prefix", &prefix) < 0 || prefix[0] == '/' ||
	    json_get_strv(j, "leave_out", &ret->leave_out) < 0 ||
	    json_get_strv(j, "secret", &ret->secret) < 0 ||
	    json_get_strv(j, "if_filled", &ret->if_filled) < 0)
		return -EINVAL;
	if (json_has(j, "owner") &&
	    (json_get_int(j, "owner", &ret->owner) < 0 || ret->owner < 0 || ret->owner > OWNER_MAX))
		return -EINVAL;
	ret->prefix = xstrdup(prefix);
	return 0;
}

static void request_clear(struct layer_pack_request *q)
{
	for (size_t i = 0; i < q->ntrees; i++) {
		struct layer_tree *t = &q->trees[i];

		free(t->prefix);
		strv_free(&t->leave_out);
		strv_free(&t->secret);
		strv_free(&t->if_filled);
	}
}

static int read_request(const struct json *j, struct layer_pack_request *ret, struct err *e)
{
	const struct json *max = json_get(j, "max");
	const struct json *trees = json_get(j, "trees");
	uint64_t seconds = 0;
	int r = 0;

	if (json_len(trees) == 0 || json_len(trees) > IMAGE_TREES_MAX ||
	    json_get_uint(max, "bytes", &ret->bytes) < 0 ||
	    json_get_uint(max, "entries", &ret->entries) < 0 ||
	    json_get_uint(max, "seconds", &seconds) < 0 || seconds > UINT32_MAX)
		r = -EINVAL;
	ret->seconds = (unsigned)seconds;
	for (size_t i = 0; r == 0 && i < json_len(trees); i++) {
		ret->ntrees = i + 1;
		r = read_tree(json_at(trees, i), TREE_FD + (int)i, &ret->trees[i]);
	}
	return r < 0 ? err_set(e, ERR_INPUT, r, "ward-image pack: malformed request") : 0;
}

static int confine(const struct layer_pack_request *q, struct err *e)
{
	struct helper_rule rules[IMAGE_TREES_MAX];
	struct helper_confine c = { .rules = rules,
				    .nrules = q->ntrees,
				    .last_fd = TREE_FD + (int)q->ntrees - 1,
				    .root_fd = TREE_FD,
				    .file_size = IMAGE_BLOB_MAX };

	for (size_t i = 0; i < q->ntrees; i++)
		rules[i] = (struct helper_rule){ q->trees[i].fd, HELPER_READ_TREE };
	return helper_confine(&c, e);
}

static struct json *result_of(const struct layer_blob *blob, const struct layer_packed *stats)
{
	struct json *j = json_object();
	struct rusage usage;

	json_set_string(j, "digest", blob->digest);
	json_set_string(j, "diff_id", blob->diff_id);
	json_set_uint(j, "size", blob->size);
	json_set_uint(j, "entries", stats->entries);
	json_set_uint(j, "bytes", stats->bytes);
	json_set_uint(j, "devices", stats->devices);
	json_set_uint(j, "names", stats->names);
	json_set_uint(j, "xattrs", stats->xattrs);
	if (getrusage(RUSAGE_SELF, &usage) == 0)
		json_set_uint(j, "memory_kib", (uint64_t)usage.ru_maxrss);
	return j;
}

int layer_pack_verb(const struct json *request, struct json **ret, struct err *e)
{
	struct layer_pack_request q = { 0 };
	struct layer_packed stats = { 0 };
	struct layer_blob blob = { 0 };
	int r = read_request(request, &q, e);

	if (r == 0)
		r = confine(&q, e);
	if (r == 0)
		r = layer_pack(&q, OUT_FD, &blob, &stats, e);
	if (r == 0)
		*ret = result_of(&blob, &stats);
	request_clear(&q);
	return r;
}
