/* SPDX-License-Identifier: Apache-2.0 */
/*
 * yaml: a strict reader of a subset of YAML 1.1.
 *
 * libyaml does the scanning and gives events; this file builds a tree of scalars, lists and
 * mappings and refuses everything that makes a document mean something else than what a reader
 * sees: anchors and aliases, tags, merge keys, directives, further documents, duplicate keys, keys
 * that are no scalars.  Nothing is resolved here: `yes` and `0644` stay text, and the field that
 * wants a truth value or a number parses it strictly.
 *
 * Invariants: the tree owns all nodes in one array, so that freeing needs no recursion; the open
 * containers are on a stack of fixed depth; bytes, depth and nodes are bounded before memory is
 * spent on them.
 */
#include <errno.h>
#include <yaml.h>

#include "base/mem.h"
#include "base/text.h"
#include "spec/spec_internal.h"

struct yaml_tree {
	struct yaml_node **pool;
	size_t n;
	size_t cap;
	struct yaml_node *root;
};

struct yaml_builder {
	struct yaml_tree *y;
	const char *origin;
	struct err *e;
	struct yaml_node *open[YAML_DEPTH_MAX];
	struct yaml_node *key[YAML_DEPTH_MAX]; /* of open[i], waiting for its value */
	size_t depth;
	unsigned documents;
};

void yaml_tree_free(struct yaml_tree *y)
{
	if (!y)
		return;
	for (size_t i = 0; i < y->n; i++) {
		free(y->pool[i]->text);
		free(y->pool[i]->keys);
		free(y->pool[i]->items);
		free(y->pool[i]);
	}
	free(y->pool);
	free(y);
}

const struct yaml_node *yaml_tree_root(const struct yaml_tree *y)
{
	return y->root;
}

bool yaml_node_is_null(const struct yaml_node *v)
{
	return v->kind == YAML_SCALAR && v->plain &&
	       (v->text[0] == '\0' || strcmp(v->text, "~") == 0 || strcmp(v->text, "null") == 0);
}

const struct yaml_node *yaml_node_get(const struct yaml_node *v, const char *key)
{
	if (!v || v->kind != YAML_MAPPING)
		return NULL;
	for (size_t i = 0; i < v->n; i++) {
		if (strcmp(v->keys[i]->text, key) == 0)
			return v->items[i];
	}
	return NULL;
}

static int fill_one(struct yaml_node *v, yaml_fill *fill, void *arg)
{
	char *text = NULL;
	int r = fill(arg, v, &text);

	if (r < 0 || !text)
		return r;
	free(v->text);
	v->text = text;
	/* What came from elsewhere is text, never nothing; a truth value may be one. */
	v->plain = v->plain && (strcmp(text, "true") == 0 || strcmp(text, "false") == 0);
	return 0;
}

int yaml_tree_fill(struct yaml_tree *y, yaml_fill *fill, void *arg)
{
	for (size_t i = 0; i < y->n; i++) {
		for (size_t k = 0; k < y->pool[i]->n; k++) {
			struct yaml_node *v = y->pool[i]->items[k];
			int r = v->kind == YAML_SCALAR ? fill_one(v, fill, arg) : 0;

			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int builder_error(const struct yaml_builder *b, unsigned line, const char *why)
{
	return err_set(b->e, ERR_INPUT, -EINVAL, "%s:%u: %s", b->origin, line, why);
}

static unsigned event_line(const yaml_event_t *ev)
{
	return (unsigned)ev->start_mark.line + 1;
}

/* A new node in the pool, or NULL when there are too many. */
static struct yaml_node *node_new(struct yaml_tree *y, enum yaml_kind kind, unsigned line)
{
	struct yaml_node *v;

	if (y->n >= YAML_NODES_MAX)
		return NULL;
	if (y->n == y->cap) {
		y->cap = y->cap ? y->cap * 2 : 64;
		y->pool = xrealloc(y->pool, y->cap, sizeof(*y->pool));
	}
	v = xcalloc(1, sizeof(*v));
	v->kind = kind;
	v->line = line;
	y->pool[y->n++] = v;
	return v;
}

static void node_add(struct yaml_node *container, struct yaml_node *key, struct yaml_node *item)
{
	if (container->n == container->cap) {
		container->cap = container->cap ? container->cap * 2 : 8;
		container->items =
			xrealloc(container->items, container->cap, sizeof(struct yaml_node *));
		if (container->kind == YAML_MAPPING)
			container->keys = xrealloc(container->keys, container->cap,
						   sizeof(struct yaml_node *));
	}
	if (key)
		container->keys[container->n] = key;
	container->items[container->n++] = item;
}

static int check_key(const struct yaml_builder *b, const struct yaml_node *mapping,
		     const struct yaml_node *key)
{
	auto_free char *shown = NULL;

	if (key->kind != YAML_SCALAR)
		return builder_error(b, key->line, "a key must be a word, not a list or a mapping");
	if (key->plain && strcmp(key->text, "<<") == 0)
		return builder_error(b, key->line, "merge keys ('<<') are not supported");
	for (size_t i = 0; i < mapping->n; i++) {
		if (strcmp(mapping->keys[i]->text, key->text) != 0)
			continue;
		shown = text_escaped(key->text);
		return err_set(b->e, ERR_INPUT, -EINVAL,
			       "%s:%u: '%s' is given twice, first in line %u", b->origin, key->line,
			       shown, mapping->keys[i]->line);
	}
	return 0;
}

/* Put a finished scalar or a newly opened container where it belongs. */
static int attach(struct yaml_builder *b, struct yaml_node *v)
{
	struct yaml_node *top;
	size_t level;
	int r;

	if (b->depth == 0) {
		b->y->root = v;
		return 0;
	}
	level = b->depth - 1;
	top = b->open[level];
	if (top->kind == YAML_LIST) {
		node_add(top, NULL, v);
		return 0;
	}
	if (b->key[level]) {
		node_add(top, steal(&b->key[level]), v);
		return 0;
	}
	r = check_key(b, top, v);
	if (r == 0)
		b->key[level] = v;
	return r;
}

static int open_container(struct yaml_builder *b, enum yaml_kind kind, unsigned line)
{
	struct yaml_node *v = node_new(b->y, kind, line);
	int r;

	if (!v)
		return builder_error(b, line, "too many values");
	r = attach(b, v);
	if (r < 0)
		return r;
	if (b->depth == YAML_DEPTH_MAX)
		return builder_error(b, line, "nested too deeply");
	b->key[b->depth] = NULL;
	b->open[b->depth++] = v;
	return 0;
}

static int add_scalar(struct yaml_builder *b, const yaml_event_t *ev)
{
	const char *bytes = (const char *)ev->data.scalar.value;
	size_t n = ev->data.scalar.length;
	unsigned line = event_line(ev);
	struct yaml_node *v;

	/* An escape in quotes can spell what the file itself may not hold. */
	if (memchr(bytes, '\0', n))
		return builder_error(b, line, "a text holds a NUL byte");
	v = node_new(b->y, YAML_SCALAR, line);
	if (!v)
		return builder_error(b, line, "too many values");
	v->plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	v->text = xstrndup(bytes, n);
	return attach(b, v);
}

static int open_document(struct yaml_builder *b, const yaml_event_t *ev)
{
	if (b->documents++ > 0)
		return builder_error(b, event_line(ev), "a second document follows");
	if (ev->data.document_start.version_directive ||
	    ev->data.document_start.tag_directives.start !=
		    ev->data.document_start.tag_directives.end)
		return builder_error(b, event_line(ev), "directives ('%') are not supported");
	return 0;
}

/* Anchors and tags hang on three kinds of events, each with members of its own. */
static int check_properties(const struct yaml_builder *b, const yaml_event_t *ev,
			    const yaml_char_t *anchor, const yaml_char_t *tag)
{
	if (anchor)
		return builder_error(b, event_line(ev), "anchors ('&') are not supported");
	if (tag)
		return builder_error(b, event_line(ev), "tags ('!') are not supported");
	return 0;
}

static int take_event(struct yaml_builder *b, const yaml_event_t *ev)
{
	int r;

	switch (ev->type) {
	case YAML_DOCUMENT_START_EVENT:
		return open_document(b, ev);
	case YAML_ALIAS_EVENT:
		return builder_error(b, event_line(ev), "aliases ('*') are not supported");
	case YAML_SCALAR_EVENT:
		r = check_properties(b, ev, ev->data.scalar.anchor, ev->data.scalar.tag);
		return r < 0 ? r : add_scalar(b, ev);
	case YAML_SEQUENCE_START_EVENT:
		r = check_properties(b, ev, ev->data.sequence_start.anchor,
				     ev->data.sequence_start.tag);
		return r < 0 ? r : open_container(b, YAML_LIST, event_line(ev));
	case YAML_MAPPING_START_EVENT:
		r = check_properties(b, ev, ev->data.mapping_start.anchor,
				     ev->data.mapping_start.tag);
		return r < 0 ? r : open_container(b, YAML_MAPPING, event_line(ev));
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		b->depth--;
		return 0;
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_STREAM_END_EVENT:
	case YAML_DOCUMENT_END_EVENT:
	default:
		return 0;
	}
}

static int parse_events(struct yaml_builder *b, yaml_parser_t *p)
{
	bool done = false;

	while (!done) {
		yaml_event_t ev;
		int r;

		if (!yaml_parser_parse(p, &ev)) {
			auto_free char *why =
				text_escaped(p->problem ? p->problem : "it ends early");

			return err_set(b->e, ERR_INPUT, -EINVAL, "%s:%u: not valid YAML: %s",
				       b->origin, (unsigned)p->problem_mark.line + 1, why);
		}
		done = ev.type == YAML_STREAM_END_EVENT;
		r = take_event(b, &ev);
		yaml_event_delete(&ev);
		if (r < 0)
			return r;
	}
	return 0;
}

int yaml_tree_read(const char *text, size_t n, const char *origin, struct yaml_tree **ret,
		   struct err *e)
{
	struct yaml_builder b = { .origin = origin, .e = e };
	yaml_parser_t p;
	int r;

	if (n > YAML_BYTES_MAX)
		return err_set(e, ERR_INPUT, -EFBIG, "%s: larger than %d bytes", origin,
			       YAML_BYTES_MAX);
	if (!text_is_utf8(text, n))
		return err_set(e, ERR_INPUT, -EINVAL, "%s: not a text file in UTF-8", origin);
	if (!yaml_parser_initialize(&p))
		mem_oom();
	yaml_parser_set_encoding(&p, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&p, (const unsigned char *)text, n);
	b.y = xcalloc(1, sizeof(*b.y));
	r = parse_events(&b, &p);
	yaml_parser_delete(&p);
	if (r < 0) {
		yaml_tree_free(b.y);
		return r;
	}
	if (b.y->root && yaml_node_is_null(b.y->root))
		b.y->root = NULL;
	*ret = b.y;
	return 0;
}

static struct json *scalar_to_json(const struct yaml_node *v)
{
	uint64_t u;

	if (!v->plain)
		return json_string(v->text);
	if (yaml_node_is_null(v))
		return NULL;
	if (strcmp(v->text, "true") == 0 || strcmp(v->text, "false") == 0)
		return json_bool(v->text[0] == 't');
	if (text_u64(v->text, INT64_MAX, &u) == 0)
		return json_uint(u);
	return json_string(v->text);
}

struct json *yaml_node_to_json(const struct yaml_node *v)
{
	struct {
		const struct yaml_node *v;
		struct json *j; /* borrowed from its parent, which owns it */
		size_t next;
	} open[YAML_DEPTH_MAX] = { { 0 } };
	struct json *root = NULL;
	size_t depth = 0;

	for (;;) {
		struct json *j = v->kind == YAML_SCALAR ? scalar_to_json(v)
				 : v->kind == YAML_LIST ? json_array()
							: json_object();

		if (depth == 0)
			root = j;
		else if (open[depth - 1].v->kind == YAML_LIST)
			json_append(open[depth - 1].j, j);
		else
			json_set(open[depth - 1].j,
				 open[depth - 1].v->keys[open[depth - 1].next - 1]->text, j);
		if (v->kind != YAML_SCALAR) {
			/* The tree was read with the same bound, so the stack cannot run over. */
			open[depth].v = v;
			open[depth].j = j;
			open[depth].next = 0;
			depth++;
		}
		while (depth > 0 && open[depth - 1].next == open[depth - 1].v->n)
			depth--;
		if (depth == 0)
			return root;
		v = open[depth - 1].v->items[open[depth - 1].next++];
	}
}
