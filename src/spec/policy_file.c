/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy_file: policy.yaml, the network rules of a user or of one sandbox, and how they are joined
 * with what a sandbox was made with.
 *
 *	preset: balanced
 *	allow:
 *	  - "api.example.com"
 *	  - "*.example.org:8443"
 *	deny:
 *	  - "ads.example.com"
 *
 * All rules of all sources count; deny beats allow wherever it stands.  Of the presets one counts:
 * the sandbox's own file, else the option it was made with, else the user's file, else the default.
 */
#include <errno.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "spec/spec_internal.h"

struct document {
	char *preset;
	struct strv allow;
	struct strv deny;
};

#define MEMBER(name) .offset = offsetof(struct document, name)

static const char *const preset_values[] = { "open", "balanced", "locked", "audit", NULL };

/* `allow:` with nothing behind it is an empty list: what is left when the last rule is removed. */
static FIELD_READER(read_allow)
{
	return yaml_node_is_null(v) ? 0 : field_allow(r, f, v, out);
}

static FIELD_READER(read_deny)
{
	return yaml_node_is_null(v) ? 0 : field_deny(r, f, v, out);
}

static const struct field document_v[] = {
	{ "preset", field_choice, MEMBER(preset), .values = preset_values },
	{ "allow", read_allow, MEMBER(allow) },
	{ "deny", read_deny, MEMBER(deny) },
};
static const struct fields document_fields = { .what = "a policy",
					       .v = document_v,
					       .n = ARRAY_SIZE(document_v) };

void spec_policy_clear(struct spec_policy *p)
{
	strv_free(&p->allow);
	strv_free(&p->deny);
	*p = (struct spec_policy){ 0 };
}

static int read_document(const struct yaml_tree *y, const char *origin, struct document *d,
			 struct err *e)
{
	struct field_reader reader = { .origin = origin, .e = e };

	return yaml_tree_root(y) ? fields_read(&reader, &document_fields, yaml_tree_root(y), d) : 0;
}

int spec_policy_parse(const char *text, size_t n, const char *origin, struct spec_policy *ret,
		      struct err *e)
{
	struct document d = { 0 };
	struct yaml_tree *y = NULL;
	int r = yaml_tree_read(text, n, origin, &y, e);

	/* The one thing about YAML that everybody who writes such a file stumbles over. */
	if (r < 0 && memchr(text, '*', n))
		err_hint(e, "a rule that begins with a star needs quotes: - \"*.example.com\"");
	if (r == 0)
		r = read_document(y, origin, &d, e);
	yaml_tree_free(y);
	if (r == 0) {
		*ret = (struct spec_policy){ .allow = d.allow, .deny = d.deny };
		ret->has_preset = d.preset && policy_preset_parse(d.preset, &ret->preset) == 0;
	} else {
		strv_free(&d.allow);
		strv_free(&d.deny);
	}
	free(d.preset);
	return r;
}

int spec_policy_read(const char *dir, struct spec_policy *ret, struct err *e)
{
	auto_free char *path = fs_join(dir, SPEC_POLICY_FILE);
	auto_buf text = BUF_INIT;
	struct err why = ERR_INIT;
	int r = spec_read_file(path, &text, &why);

	if (r == -ENOENT || r == -ENOTDIR) {
		*ret = (struct spec_policy){ 0 };
		return 0;
	}
	if (r < 0) {
		if (e)
			*e = why;
		return r;
	}
	return spec_policy_parse(buf_str(&text), text.len, path, ret, e);
}

/* --- joining --------------------------------------------------------------------------------- */

static int add_rules(struct policy_rules *rules, bool allow, const struct strv *patterns,
		     const char *origin, struct err *e)
{
	for (size_t i = 0; i < patterns->n; i++) {
		int r = policy_rules_add(rules, allow, patterns->v[i], origin, e);

		if (r < 0)
			return r;
	}
	return 0;
}

/* Deny rules first: they decide, and a reader of the list sees them. */
static int add_both(struct policy_rules *rules, const struct strv *allow, const struct strv *deny,
		    const char *allow_origin, const char *deny_origin, struct err *e)
{
	int r = add_rules(rules, false, deny, deny_origin, e);

	return r == 0 ? add_rules(rules, true, allow, allow_origin, e) : r;
}

int spec_rules_base(const struct spec *s, const struct kit *k, struct spec_rules_base *ret,
		    struct err *e)
{
	struct policy_rules *rules = policy_rules_new();
	auto_free char *kit_origin = xasprintf("kit %s", k->name);
	auto_buf out = BUF_INIT;
	int r;

	r = add_both(rules, &k->net_allow, &k->net_deny, kit_origin, kit_origin, e);
	if (r == 0)
		r = add_both(rules, &s->allow_hosts, &s->deny_hosts, "--allow-host",
			     POLICY_ORIGIN_DENY_HOST, e);
	if (r == 0) {
		policy_rules_write(rules, &out);
		*ret = (struct spec_rules_base){ .preset = s->network,
						 .preset_default = s->network_default,
						 .fixed = xstrdup(buf_str(&out)) };
	}
	policy_rules_free(rules);
	return r;
}

void spec_rules_base_clear(struct spec_rules_base *b)
{
	free(b->fixed);
	*b = (struct spec_rules_base){ 0 };
}

enum policy_preset spec_rules_preset(const struct spec_rules_base *b,
				     const struct spec_policy *user, const struct spec_policy *own)
{
	if (own->has_preset)
		return own->preset;
	return b->preset_default && user->has_preset ? user->preset : b->preset;
}

int spec_rules_join(const struct spec_rules_base *b, const struct spec_policy *user,
		    const struct spec_policy *own, struct buf *out, struct err *e)
{
	struct policy_rules *presets = policy_rules_new(), *files = policy_rules_new();
	struct policy_rules *whole = NULL;
	int r = policy_rules_add_preset(presets, spec_rules_preset(b, user, own), e);

	if (r == 0)
		r = add_both(files, &user->allow, &user->deny, POLICY_ORIGIN_USER,
			     POLICY_ORIGIN_USER, e);
	if (r == 0)
		r = add_both(files, &own->allow, &own->deny, POLICY_ORIGIN_SANDBOX,
			     POLICY_ORIGIN_SANDBOX, e);
	if (r == 0) {
		/* What the user said is named before what the preset says as well. */
		policy_rules_write(files, out);
		buf_puts(out, b->fixed);
		policy_rules_write(presets, out);
		r = policy_rules_read(buf_str(out), out->len, &whole, e);
	}
	policy_rules_free(whole);
	policy_rules_free(presets);
	policy_rules_free(files);
	return r;
}

int spec_rules_text(const struct spec_rules_base *b, const char *config_dir,
		    const char *sandbox_dir, char **ret, struct err *e)
{
	struct spec_policy user = { 0 }, own = { 0 };
	auto_buf out = BUF_INIT;
	int r = spec_policy_read(config_dir, &user, e);

	if (r == 0 && sandbox_dir)
		r = spec_policy_read(sandbox_dir, &own, e);
	if (r == 0)
		r = spec_rules_join(b, &user, &own, &out, e);
	if (r == 0)
		*ret = xstrdup(buf_str(&out));
	spec_policy_clear(&user);
	spec_policy_clear(&own);
	return r;
}
