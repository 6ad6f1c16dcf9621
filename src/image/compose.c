/* SPDX-License-Identifier: Apache-2.0 */
/*
 * compose: ward's side of making layers and images: the file that a layer is written to, and the
 * requests to ward-image.
 *
 * Whoever writes a layer is root of a namespace that has no rights in the store, so it gets the
 * open file, and the name in blobs/sha256 is given here, never in place of one that is there:
 * a digest that a broken helper claims can therefore not replace other content.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/compat.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "image/image.h"

enum { NAME_BYTES = 8, LAYER_SECONDS_MAX = 3600 };
#define LAYER_BYTES_MAX ((uint64_t)64 << 30)
#define BLOBS		"blobs/sha256"
#define PARTIAL		"blobs/partial"

void image_layer_clear(struct image_layer *l)
{
	free(l->digest);
	free(l->diff_id);
	*l = (struct image_layer){ 0 };
}

static int open_dir(const struct image_store *s, const char *path, int *ret, struct err *e)
{
	int fd = fs_open_beneath(s->fd, path, O_RDONLY | O_DIRECTORY, 0);

	if (fd < 0) {
		errno = -fd;
		return err_sys(e, "template store: cannot open %s", path);
	}
	*ret = fd;
	return 0;
}

/* --- layers ----------------------------------------------------------------------------------- */

int image_pack_begin(const struct image_store *s, struct image_pack *ret, struct err *e)
{
	struct image_pack p = { .store = s, .name = "layer.", .fd = -1 };
	auto_close int dir = -1;
	int r = open_dir(s, PARTIAL, &dir, e);

	if (r < 0)
		return r;
	text_random_hex(p.name + strlen(p.name), NAME_BYTES);
	p.fd = fs_open_beneath(dir, p.name, O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (p.fd < 0) {
		errno = -p.fd;
		return err_sys(e, "template store: make a file");
	}
	*ret = p;
	return 0;
}

void image_pack_clear(struct image_pack *p)
{
	auto_close int dir = -1;

	fd_closep(&p->fd);
	p->fd = -1;
	if (p->name[0] && open_dir(p->store, PARTIAL, &dir, NULL) == 0)
		(void)unlinkat(dir, p->name, 0);
	p->name[0] = '\0';
}

static void set_list(struct json *j, const char *key, const struct strv *list)
{
	static const struct strv none = STRV_INIT;

	json_set_strv(j, key, list ? list : &none);
}

struct json *image_pack_request(const struct image_tree *trees, size_t n)
{
	struct json *j = json_object(), *list = json_array(), *max = json_object();

	for (size_t i = 0; i < n; i++) {
		struct json *t = json_object();

		json_set_string(t, "prefix", trees[i].prefix);
		set_list(t, "leave_out", trees[i].leave_out);
		set_list(t, "secret", trees[i].secret);
		set_list(t, "if_filled", trees[i].if_filled);
		if (trees[i].owner >= 0)
			json_set_int(t, "owner", trees[i].owner);
		json_append(list, t);
	}
	json_set(j, "trees", list);
	json_set_uint(max, "bytes", LAYER_BYTES_MAX);
	json_set_uint(max, "entries", IMAGE_ENTRIES_MAX);
	json_set_uint(max, "seconds", LAYER_SECONDS_MAX);
	json_set(j, "max", max);
	return j;
}

static int malformed(struct err *e)
{
	return err_set(e, ERR_SYSTEM, -EBADMSG, "image helper: it said something malformed");
}

static int read_layer(const struct json *result, struct image_layer *ret, struct err *e)
{
	const char *digest, *diff_id;
	struct image_layer l = { 0 };

	if (json_get_string(result, "digest", &digest) < 0 || !image_digest_ok(digest) ||
	    json_get_string(result, "diff_id", &diff_id) < 0 || !image_digest_ok(diff_id) ||
	    json_get_uint(result, "size", &l.size) < 0 ||
	    json_get_uint(result, "entries", &l.entries) < 0 ||
	    json_get_uint(result, "bytes", &l.bytes) < 0 ||
	    json_get_uint(result, "devices", &l.devices) < 0 ||
	    json_get_uint(result, "names", &l.names) < 0 ||
	    json_get_uint(result, "xattrs", &l.xattrs) < 0)
		return malformed(e);
	l.digest = xstrdup(digest);
	l.diff_id = xstrdup(diff_id);
	*ret = l;
	return 0;
}

int image_pack_commit(struct image_pack *p, const struct json *result, struct image_layer *ret,
		      struct err *e)
{
	auto_image_layer l = { 0 };
	auto_close int from = -1, to = -1;
	struct stat st;
	int r = read_layer(result, &l, e);

	if (r == 0)
		r = open_dir(p->store, PARTIAL, &from, e);
	if (r == 0)
		r = open_dir(p->store, BLOBS, &to, e);
	if (r < 0)
		return r;
	if (fstat(p->fd, &st) < 0 || (uint64_t)st.st_size != l.size)
		return malformed(e);
	if (fdatasync(p->fd) < 0 || fchmod(p->fd, 0400) < 0)
		return err_sys(e, "template store: write a layer");
	if (renameat2(from, p->name, to, image_digest_hex(l.digest), RENAME_NOREPLACE) == 0)
		p->name[0] = '\0';
	else if (errno != EEXIST) /* else the same layer is there; ours is removed */
		return err_sys(e, "template store: name a layer");
	*ret = l;
	l = (struct image_layer){ 0 };
	return 0;
}

/* --- images ----------------------------------------------------------------------------------- */

static struct json *layers_json(const struct image_composition *c)
{
	struct json *list = json_array();

	for (size_t i = 0; i < c->nlayers; i++) {
		struct json *j = json_object();

		json_set_string(j, "digest", c->layers[i].digest);
		json_set_string(j, "diff_id", c->layers[i].diff_id);
		json_set_uint(j, "size", c->layers[i].size);
		json_append(list, j);
	}
	return list;
}

static struct json *history_json(const struct image_composition *c)
{
	struct json *list = json_array();

	for (size_t i = 0; i < c->nhistory; i++) {
		const struct image_history *h = &c->history[i];
		struct json *j = json_object();

		json_set_string(j, "created", h->created ? h->created : c->created);
		json_set_string(j, "created_by", h->created_by);
		if (h->comment)
			json_set_string(j, "comment", h->comment);
		if (h->empty_layer)
			json_set_bool(j, "empty_layer", true);
		json_append(list, j);
	}
	return list;
}

static int request_of(const struct image_composition *c, struct json *j, struct err *e)
{
	struct image_platform p = { 0 };
	auto_free char *platform = NULL;
	int r = image_platform_parse(c->platform, &p, e);

	if (r < 0)
		return r;
	platform = image_platform_text(&p);
	image_platform_clear(&p);
	json_set_string(j, "base", c->base);
	json_set_string(j, "platform", platform);
	json_set_string(j, "created", c->created);
	json_set(j, "layers", layers_json(c));
	json_set(j, "history", history_json(c));
	json_set(j, "config", c->config ? json_ref(c->config) : NULL);
	return 0;
}

int image_compose(const struct image_store *s, const struct image_composition *c,
		  const char *reference, struct image_record *ret, struct err *e)
{
	auto_json request = json_object();
	auto_json result = NULL;
	auto_image_record rec = { 0 };
	auto_close int blobs = -1, partial = -1;
	int r = request_of(c, request, e);

	if (r == 0)
		r = open_dir(s, BLOBS, &blobs, e);
	if (r == 0)
		r = open_dir(s, PARTIAL, &partial, e);
	if (r == 0) {
		const int fds[] = { blobs, partial };

		r = image_helper_run(&(struct image_job){ .helper = c->helper,
							  .verb = "compose",
							  .request = request,
							  .fds = fds,
							  .nfds = ARRAY_SIZE(fds) },
				     &result, e);
	}
	if (r == 0)
		r = image_record_of(result, reference ? reference : "", &rec, e);
	if (r == 0 && reference)
		r = image_store_tag(s, &rec, e);
	if (r < 0)
		return r;
	*ret = rec;
	rec = (struct image_record){ 0 };
	return 0;
}
