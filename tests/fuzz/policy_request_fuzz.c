/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: a rule and a request: "RULE\nMETHOD\nPATH". No allow rule with a path matches a path
 * with a dot segment or an encoded slash, no request is both denied and let pass by the same words,
 * and a set of one allow rule about requests lets nothing pass that is not looked into.
 */
#include <stdlib.h>
#include <string.h>

#include "policy/policy.h"

/* Is a component of the path "..", however it is written? */
static bool has_dots(const char *path)
{
	for (const char *at = path; (at = strchr(at, '/')) != NULL;) {
		unsigned dots = 0;

		for (at++;; dots++) {
			if (*at == '.')
				at++;
			else if (strncasecmp(at, "%2e", 3) == 0)
				at += 3;
			else
				break;
		}
		if (dots == 2 && (*at == '/' || *at == '?' || *at == '\0'))
			return true;
	}
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool decide(bool allow, const char *rule, const struct policy_request *q)
{
	struct policy_rules *r = policy_rules_new();
	struct policy_host host = { .kind = POLICY_HOST_NAME, .name = "a.test" };
	struct policy_verdict v;

	if (!allow && policy_rules_add(r, true, "a.test", "x", NULL) != 0)
		abort();
	if (policy_rules_add(r, allow, rule, "x", NULL) != 0)
		abort();
	policy_decide(r, &host, 80, q, &v);
	policy_rules_free(r);
	return v.allow;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[4096], canonical[POLICY_RULE_MAX];
	struct policy_request q;
	char *rule = text, *method, *path;

	if (size >= sizeof(text) - 8 || memchr(data, '\0', size) != NULL)
		return 0;
	memcpy(text, "a.test ", 7);
	memcpy(text + 7, data, size);
	text[7 + size] = '\0';
	method = strchr(text, '\n');
	path = method != NULL ? strchr(method + 1, '\n') : NULL;
	if (path == NULL)
		return 0;
	*method++ = *path++ = '\0';
	if (policy_rule_canonical(true, rule, canonical, NULL) != 0 ||
	    !policy_rule_has_request(canonical))
		return 0;
	q = (struct policy_request){ method, strlen(method), path, strlen(path) };
	if (decide(true, canonical, NULL) || decide(false, canonical, NULL))
		abort();
	if (decide(true, canonical, &q) && decide(false, canonical, &q))
		abort();
	if (strchr(canonical, '/') != NULL && decide(true, canonical, &q) &&
	    (has_dots(path) || strstr(path, "//") != NULL || strcasestr(path, "%2f") != NULL ||
	     path[0] != '/'))
		abort();
	return 0;
}
