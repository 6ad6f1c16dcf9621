/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rules: the network rules of a sandbox, from its preset, its kit and its own hosts.
 *
 * Each rule carries where it comes from, so that a refusal can say which one decided.  Deny beats
 * allow whatever the order.  Pure.
 */
#include "base/mem.h"
#include "policy/policy.h"
#include "spec/spec.h"

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

int spec_rules_text(const struct spec *s, const struct kit *k, char **ret, struct err *e)
{
	struct policy_rules *rules = policy_rules_new();
	auto_free char *kit_origin = xasprintf("kit %s", k->name);
	auto_buf out = BUF_INIT;
	int r;

	r = policy_rules_add_preset(rules, s->network, e);
	if (r == 0)
		r = add_rules(rules, true, &k->net_allow, kit_origin, e);
	if (r == 0)
		r = add_rules(rules, false, &k->net_deny, kit_origin, e);
	if (r == 0)
		r = add_rules(rules, true, &s->allow_hosts, "--allow-host", e);
	if (r == 0)
		r = add_rules(rules, false, &s->deny_hosts, "--deny-host", e);
	if (r == 0) {
		policy_rules_write(rules, &out);
		*ret = xstrdup(buf_str(&out));
	}
	policy_rules_free(rules);
	return r;
}
