/* SPDX-License-Identifier: Apache-2.0 */
/* Rule sets: patterns, their text form, and the two decisions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "policy/policy.h"

/* "allow x" and "deny y" lines, NULL-terminated. */
static struct policy_rules *rules_of(const char *const *lines)
{
	struct policy_rules *r = policy_rules_new();

	for (; *lines != NULL; lines++) {
		bool allow = strncmp(*lines, "allow ", 6) == 0;
		struct err e = ERR_INIT;

		if (policy_rules_add(r, allow, *lines + (allow ? 6 : 5), "test", &e) != 0)
			fail_msg("%s", e.message);
	}
	return r;
}
#define RULES(...) rules_of((const char *const[]){ __VA_ARGS__, NULL })

static struct policy_verdict decide(const struct policy_rules *r, const char *host, uint16_t port)
{
	struct policy_verdict v;
	struct policy_host h;

	assert_int_equal(policy_host_parse(host, strlen(host), &h, NULL), 0);
	policy_decide(r, &h, port, NULL, &v);
	assert_true(v.reason[0] != '\0');
	return v;
}

static struct sockaddr_storage sockaddr_of(const char *addr)
{
	struct sockaddr_storage ss = { 0 };
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };

	if (inet_pton(AF_INET, addr, &in.sin_addr) == 1)
		memcpy(&ss, &in, sizeof(in));
	else if (inet_pton(AF_INET6, addr, &in6.sin6_addr) == 1)
		memcpy(&ss, &in6, sizeof(in6));
	else
		fail_msg("%s", addr);
	return ss;
}

static struct policy_verdict decide_address(const struct policy_rules *r, const char *host,
					    uint16_t port, const char *addr)
{
	struct sockaddr_storage ss = sockaddr_of(addr);
	struct policy_verdict v;
	struct policy_host h;

	assert_int_equal(policy_host_parse(host, strlen(host), &h, NULL), 0);
	policy_decide_address(r, &h, port, NULL, (struct sockaddr *)&ss, &v);
	return v;
}

static void nothing_is_allowed_without_rules(void **state)
{
	struct policy_rules *empty = policy_rules_new(), *read = NULL;

	(void)state;
	assert_int_equal(policy_rules_read("", 0, &read, NULL), 0);
	assert_false(decide(NULL, "example.com", 443).allow);
	assert_false(decide(empty, "example.com", 443).allow);
	assert_false(decide(read, "example.com", 443).allow);
	assert_false(decide(empty, "192.0.2.1", 443).allow);
	assert_false(decide(empty, "host.ward.internal", 443).allow);
	assert_false(decide_address(NULL, "example.com", 443, "198.51.100.1").allow);
	policy_rules_free(empty);
	policy_rules_free(read);
	policy_rules_free(NULL);
}

static void labels_have_boundaries(void **state)
{
	static const struct {
		const char *rule, *host;
		bool allow;
	} cases[] = {
		{ "allow a.test", "a.test", true },
		{ "allow a.test", "A.TEST.", true },
		{ "allow A.Test.", "a.test", true },
		{ "allow a.test", "b.a.test", false },
		{ "allow a.test", "a.test.evil.test", false },
		{ "allow a.test", "nota.test", false },
		{ "allow *.a.test", "b.a.test", true },
		{ "allow *.a.test", "c.b.a.test", false },
		{ "allow *.a.test", "a.test", false },
		{ "allow *.a.test", "ba.test", false },
		{ "allow *.a.test", "b.a.test.evil.test", false },
		{ "allow **.a.test", "b.a.test", true },
		{ "allow **.a.test", "d.c.b.a.test", true },
		{ "allow **.a.test", "a.test", false },
		{ "allow **.a.test", "ba.test", false },
		{ "allow **", "anything.example", true },
		{ "allow **", "single", false },
		{ "allow **", "printer.local", false },
		{ "allow **", "x.internal", false },
		{ "allow **", "host.docker.internal", false },
		{ "allow **", "192.0.2.1", false },
		{ "allow **", "localhost", false },
		{ "allow **", "a.localhost", false },
		{ "allow **", "localhost.localdomain", false },
		{ "allow 192.0.2.0/24", "192.0.2.77", true },
		{ "allow 192.0.2.0/24", "192.0.3.1", false },
		{ "allow [2001:db8::/32]", "[2001:db8:5::1]", true },
		{ "allow 192.0.2.1", "[::ffff:192.0.2.1]", true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct policy_rules *r = RULES(cases[i].rule);

		if (decide(r, cases[i].host, 443).allow != cases[i].allow)
			fail_msg("%s: %s", cases[i].rule, cases[i].host);
		policy_rules_free(r);
	}
}

static void ports(void **state)
{
	struct policy_rules *r =
		RULES("allow web.test", "allow ssh.test:22", "allow range.test:8000-8010",
		      "allow all.test:*", "allow 198.51.100.1", "allow 198.51.100.2:53");

	(void)state;
	assert_true(decide(r, "web.test", 80).allow);
	assert_true(decide(r, "web.test", 443).allow);
	assert_false(decide(r, "web.test", 22).allow);
	assert_non_null(strstr(decide(r, "web.test", 22).reason, "port 22"));
	assert_false(decide(r, "web.test", 0).allow);
	assert_true(decide(r, "ssh.test", 22).allow);
	assert_false(decide(r, "ssh.test", 443).allow);
	assert_true(decide(r, "range.test", 8000).allow);
	assert_true(decide(r, "range.test", 8010).allow);
	assert_false(decide(r, "range.test", 8011).allow);
	assert_true(decide(r, "all.test", 1).allow);
	assert_true(decide(r, "all.test", 65535).allow);
	assert_false(decide(r, "all.test", 0).allow);
	assert_true(decide(r, "198.51.100.1", 9999).allow);
	assert_false(decide(r, "198.51.100.2", 54).allow);
	policy_rules_free(r);
}

static void deny_beats_allow(void **state)
{
	struct policy_rules *r = RULES("allow **:*", "deny bad.test", "deny **.worse.test:443",
				       "allow good.bad.test", "deny 198.51.100.0/24");
	struct policy_verdict v = decide(r, "bad.test", 22);

	(void)state;
	assert_false(v.allow); /* a deny without a port is a deny of every port */
	assert_string_equal(v.rule, "bad.test");
	assert_string_equal(v.origin, "test");
	assert_true(decide(r, "good.bad.test", 443).allow);
	assert_false(decide(r, "x.worse.test", 443).allow);
	assert_true(decide(r, "x.worse.test", 80).allow);
	assert_false(decide_address(r, "other.test", 443, "198.51.100.9").allow);
	assert_false(decide_address(r, "other.test", 443, "64:ff9b::c633:6409").allow);
	assert_false(decide_address(r, "other.test", 443, "::ffff:198.51.100.9").allow);
	assert_true(decide_address(r, "other.test", 443, "203.0.113.1").allow);
	policy_rules_free(r);
}

static void special_addresses(void **state)
{
	static const char *const special[] = {
		"0.0.0.0",
		"0.1.2.3",
		"10.0.0.1",
		"100.64.0.1",
		"100.127.255.255",
		"127.0.0.1",
		"127.255.255.255",
		"169.254.169.254",
		"172.16.0.1",
		"172.31.255.255",
		"192.0.0.1",
		"192.168.1.1",
		"198.18.0.1",
		"198.19.255.255",
		"224.0.0.1",
		"240.0.0.1",
		"255.255.255.255",
		"::",
		"::1",
		"::7f00:1",
		"::ffff:10.0.0.1",
		"::ffff:127.0.0.1",
		"fc00::1",
		"fd00:ec2::254",
		"fe80::1",
		"febf::1",
		"fec0::1",
		"ff02::1",
		"64:ff9b::7f00:1",
		"64:ff9b::a9fe:a9fe",
		"64:ff9b:1::808:808",
		"2002:7f00:1::",
		"2002:a00:1::1",
		"100::1",
		"2001::f5ff:fffe", /* Teredo of 10.0.0.1 */
		"2001:0:a00:1::1:1",
	};
	static const char *const ordinary[] = {
		"1.1.1.1",	   "9.255.255.255",   "100.63.255.255",	  "100.128.0.0",
		"172.15.0.1",	   "172.32.0.1",      "192.167.0.1",	  "198.17.0.1",
		"223.255.255.255", "2606:4700::1111", "64:ff9b::808:808", "2002:808:808::1",
		"::ffff:8.8.8.8"
	};
	struct policy_rules *r =
		RULES("allow **:*", "allow 0.0.0.0/0", "allow ::/0", "allow name.test");

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(special); i++) {
		struct sockaddr_storage ss = sockaddr_of(special[i]);

		if (!policy_address_special((struct sockaddr *)&ss) ||
		    decide_address(r, "name.test", 443, special[i]).allow)
			fail_msg("%s is special", special[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(ordinary); i++) {
		struct sockaddr_storage ss = sockaddr_of(ordinary[i]);

		if (policy_address_special((struct sockaddr *)&ss) ||
		    !decide_address(r, "name.test", 443, ordinary[i]).allow)
			fail_msg("%s is ordinary", ordinary[i]);
	}
	assert_true(policy_address_special(&(struct sockaddr){ .sa_family = AF_UNIX }));
	policy_rules_free(r);
}

static void special_addresses_need_their_own_rule(void **state)
{
	struct policy_rules *r =
		RULES("allow db.test:5432", "allow 10.1.0.0/16:5432", "allow 127.0.0.1:8080",
		      "allow 169.0.0.0/8", "allow 192.168.0.0/16");

	(void)state;
	assert_true(decide_address(r, "db.test", 5432, "10.1.2.3").allow);
	assert_false(decide_address(r, "db.test", 5432, "10.2.2.3").allow);
	assert_false(decide_address(r, "other.test", 5432, "10.1.2.3").allow);
	assert_true(decide(r, "127.0.0.1", 8080).allow);
	assert_false(decide(r, "127.0.0.1", 8081).allow);
	assert_false(decide(r, "127.0.0.2", 8080).allow);
	assert_false(decide(r, "169.254.169.254", 80).allow); /* wider than link-local */
	assert_true(decide(r, "192.168.3.4", 80).allow);
	assert_false(decide_address(r, "127.0.0.1", 8080, "127.0.0.2").allow);
	policy_rules_free(r);
}

static void own_addresses(void **state)
{
	struct policy_rules *r =
		RULES("allow **:*", "allow 198.51.100.0/24", "allow 203.0.113.7:80");
	struct policy_verdict v;
	struct sockaddr_storage a = sockaddr_of("198.51.100.9"), b = sockaddr_of("203.0.113.7");

	(void)state;
	policy_decide_own_address(r, 80, NULL, (struct sockaddr *)&a, &v);
	assert_false(v.allow);
	policy_decide_own_address(r, 80, NULL, (struct sockaddr *)&b, &v);
	assert_true(v.allow);
	policy_decide_own_address(r, 81, NULL, (struct sockaddr *)&b, &v);
	assert_false(v.allow);
	policy_rules_free(r);
}

static void services_of_the_host(void **state)
{
	struct policy_rules *r = RULES("allow localhost:8080", "allow host.docker.internal:9000");
	struct policy_verdict v = decide(r, "host.ward.internal", 8080);

	(void)state;
	assert_true(v.allow && v.host_service);
	assert_string_equal(v.rule, "localhost:8080");
	assert_true(decide(r, "host.docker.internal", 8080).host_service);
	assert_true(decide(r, "host.ward.internal", 9000).host_service);
	assert_false(decide(r, "host.ward.internal", 8081).allow);
	assert_false(decide(r, "localhost", 8080).allow);
	assert_false(decide(r, "127.0.0.1", 8080).allow);
	assert_true(decide_address(r, "host.ward.internal", 8080, "127.0.0.1").allow);
	assert_true(decide_address(r, "host.ward.internal", 8080, "::1").allow);
	assert_false(decide_address(r, "host.ward.internal", 8080, "127.0.0.2").allow);
	assert_false(decide_address(r, "host.ward.internal", 8080, "10.0.0.1").allow);
	policy_rules_free(r);
}

static void bad_patterns(void **state)
{
	static const char *const bad[] = {
		"",
		"*",
		"*.com",
		"**.com",
		"**.co.uk",
		"*.com.au",
		"***.a.test",
		"a.*.test",
		"a*.test",
		"*a.test",
		"**a.test",
		"a.test:",
		"a.test:0",
		"a.test:65536",
		"a.test:80,443",
		"a.test:9-8",
		"a.test:-1",
		"a.test:1-",
		"a.test:**",
		"http://a.test",
		"a.test/x",
		"1.2.3",
		"1.2.3.4/33",
		"1.2.3.4/08",
		"1.2.3.4/24",
		"10.0.0.1/",
		"::1/129",
		"[::1",
		"[::1]x",
		"[a.test]",
		"2001:db8::/16",
		"localhost",
		"localhost:*",
		"*.1.2.3.4",
		"b\xc3\xbc.test",
		"a b.test",
		"a.test\t",
		"0x7f000001",
		"1.2.3.4/-1",
		"host.ward.internal",
	};
	struct policy_rules *r = policy_rules_new();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct err e = ERR_INIT;

		if (policy_rules_add(r, true, bad[i], "test", &e) != -EINVAL)
			fail_msg("'%s' was taken", bad[i]);
		assert_true(e.message[0] != '\0');
	}
	assert_int_equal(policy_rules_count(r), 0);
	assert_int_equal(policy_rules_add(r, false, "*.com", "test", NULL), 0);
	assert_int_equal(policy_rules_add(r, true, "a.test", "bad\norigin", NULL), -EINVAL);
	policy_rules_free(r);
}

static void text_form(void **state)
{
	static const char text[] = "allow a.test\ttest\n"
				   "allow *.a.test:443\ttest\n"
				   "deny **.b.test:8000-8010\ttest\n"
				   "allow **:*\ttest\n"
				   "allow 10.0.0.0/8\ttest\n"
				   "allow 192.0.2.1:80\ttest\n"
				   "allow [2001:db8::/32]:443\ttest\n"
				   "allow [::1]\ttest\n"
				   "allow localhost:8080\ttest\n"
				   "allow 0.0.0.0/0\ttest\n"
				   "allow [::/0]\ttest\n";
	struct policy_rules *r =
		RULES("allow A.TEST.", "allow *.a.test:443", "deny **.b.test:8000-8010",
		      "allow **:1-65535", "allow 10.0.0.0/8", "allow 192.0.2.1:80",
		      "allow [2001:db8::/32]:443", "allow ::1", "allow host.ward.internal:8080",
		      "allow 0.0.0.0/0", "allow ::/0");
	struct policy_rules *again = NULL;
	struct buf out = BUF_INIT, second = BUF_INIT;

	(void)state;
	policy_rules_write(r, &out);
	assert_string_equal(buf_str(&out), text);
	assert_int_equal(policy_rules_read(out.data, out.len, &again, NULL), 0);
	policy_rules_write(again, &second);
	assert_string_equal(buf_str(&second), text);
	policy_rules_free(r);
	policy_rules_free(again);
	buf_free(&out);
	buf_free(&second);
}

static void bad_texts(void **state)
{
	static const char *const bad[] = {
		"allow a.test\ttest",
		"allow a.test\n",
		"a.test\ttest\n",
		"Allow a.test\ttest\n",
		"allow  a.test\ttest\n",
		"\n",
		"# comment\n",
		"allow a.test\tx\ny\n",
		"allow a.test\tx\r\n",
		"allow a.test\ta\tb\n",
		"deny\n",
	};
	struct policy_rules *r = (struct policy_rules *)(uintptr_t)&bad; /* must stay as it is */
	struct buf many = BUF_INIT;
	struct err e = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		if (policy_rules_read(bad[i], strlen(bad[i]), &r, NULL) != -EINVAL)
			fail_msg("'%s' was taken", bad[i]);
	}
	assert_int_equal(policy_rules_read("allow a\0b\tx\n", 12, &r, NULL), -EINVAL);
	for (size_t i = 0; i < POLICY_RULES_MAX; i++)
		buf_puts(&many, "allow a.test\tx\n");
	buf_puts(&many, "allow a.test\tx\n");
	assert_int_equal(policy_rules_read(many.data, many.len, &r, &e), -EINVAL);
	assert_ptr_equal(r, &bad);
	assert_int_equal(policy_rules_read(many.data, many.len - 15, &r, &e), 0);
	assert_int_equal(policy_rules_count(r), POLICY_RULES_MAX);
	policy_rules_free(r);
	buf_free(&many);
}

static void presets(void **state)
{
	enum policy_preset p;

	(void)state;
	for (int i = 0; i < POLICY_PRESET_MAX; i++) {
		struct policy_rules *r = policy_rules_new();
		struct err e = ERR_INIT;

		assert_int_equal(policy_preset_parse(policy_preset_name(i), &p), 0);
		assert_int_equal(p, i);
		if (policy_rules_add_preset(r, i, &e) != 0)
			fail_msg("%s", e.message);
		assert_int_equal(decide(r, "api.anthropic.com", 443).allow, i != POLICY_LOCKED);
		assert_int_equal(decide(r, "packages.debian.org", 80).allow, i != POLICY_LOCKED);
		assert_int_equal(decide(r, "github.com", 22).allow, i != POLICY_LOCKED);
		assert_int_equal(decide(r, "example.com", 443).allow,
				 i == POLICY_OPEN || i == POLICY_AUDIT);
		assert_false(decide(r, "169.254.169.254", 80).allow);
		assert_false(decide(r, "host.ward.internal", 80).allow);
		assert_int_equal(policy_rules_count(r) == 0, i == POLICY_LOCKED);
		policy_rules_free(r);
	}
	assert_int_equal(policy_preset_parse("Open", &p), -EINVAL);
	assert_int_equal(policy_preset_parse("", &p), -EINVAL);
}

/* A day of a developer: one host of each kind, and what must not be in it. */
static void balanced_is_enough(void **state)
{
	static const struct {
		const char *host;
		uint16_t port;
		bool allow;
	} cases[] = {
		{ "api.openai.com", 443, true },
		{ "ollama.com", 443, true },
		{ "x.npmjs.org", 443, true },
		{ "x.pythonhosted.org", 443, true },
		{ "x.crates.io", 443, true },
		{ "x.golang.org", 443, true },
		{ "x.maven.apache.org", 443, true },
		{ "x.gradle.org", 443, true },
		{ "x.nuget.org", 443, true },
		{ "x.rubygems.org", 443, true },
		{ "x.packagist.org", 443, true },
		{ "x.conan.io", 443, true },
		{ "x.ubuntu.com", 80, true },
		{ "dl-cdn.alpinelinux.org", 443, true },
		{ "codeload.github.com", 443, true },
		{ "gitlab.com", 22, true },
		{ "x.docker.io", 443, true },
		{ "ghcr.io", 443, true },
		{ "example.com", 443, false },
		{ "github.com", 25, false },
		{ "x.github.io", 443, false },
		{ "x.s3.amazonaws.com", 443, false },
		{ "x.blob.core.windows.net", 443, false },
		{ "storage.googleapis.com", 443, false },
		{ "x.r2.cloudflarestorage.com", 443, false },
		{ "pastebin.com", 443, false },
		{ "x.ngrok.io", 443, false },
	};
	struct policy_rules *r = policy_rules_new();

	(void)state;
	assert_int_equal(policy_rules_add_preset(r, POLICY_BALANCED, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		if (decide(r, cases[i].host, cases[i].port).allow != cases[i].allow)
			fail_msg("%s:%u", cases[i].host, cases[i].port);
	}
	policy_rules_free(r);
}

static void long_origins_are_cut(void **state)
{
	struct policy_rules *r = policy_rules_new(), *again = NULL;
	struct buf out = BUF_INIT;
	char origin[200];

	(void)state;
	memset(origin, 'o', sizeof(origin) - 1);
	origin[sizeof(origin) - 1] = '\0';
	assert_int_equal(policy_rules_add(r, true, "a.test", origin, NULL), 0);
	policy_rules_write(r, &out);
	assert_int_equal(policy_rules_read(out.data, out.len, &again, NULL), 0);
	assert_int_equal(strlen(decide(again, "a.test", 443).origin), 63);
	buf_free(&out);
	policy_rules_free(r);
	policy_rules_free(again);
}

/* Looking up has no port: one that is allowed is enough. */
static void lookups(void **state)
{
	static const struct {
		const char *rules[4];
		const char *name;
		bool allow;
	} cases[] = {
		{ { NULL }, "a.test", false },
		{ { "allow a.test" }, "a.test", true },
		{ { "allow a.test" }, "b.test", false },
		{ { "allow a.test:22" }, "a.test", true },
		{ { "allow **", "deny a.test" }, "a.test", false },
		{ { "allow **", "deny a.test" }, "b.test", true },
		{ { "allow **", "deny a.test:443" }, "a.test", true },
		{ { "allow **", "deny a.test:80", "deny a.test:443" }, "a.test", false },
		{ { "allow a.test:*", "deny a.test:1-1000", "deny a.test:1002-65535" },
		  "a.test",
		  true },
		{ { "allow a.test:*", "deny a.test:1-1000", "deny a.test:1001-65535" },
		  "a.test",
		  false },
		{ { "allow localhost:8080" }, POLICY_HOST_ALIAS, true },
		{ { "allow **:*" }, POLICY_HOST_ALIAS, false },
		{ { "allow **:*", "allow 10.0.0.0/8" }, "10.1.2.3", false },
		{ { "allow **:*" }, "localhost", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct policy_rules *r = rules_of(cases[i].rules);
		struct policy_host host;
		struct policy_verdict v;

		assert_int_equal(
			policy_host_parse(cases[i].name, strlen(cases[i].name), &host, NULL), 0);
		policy_decide_lookup(r, &host, &v);
		if (v.allow != cases[i].allow)
			fail_msg("case %zu: %s", i, v.reason);
		policy_rules_free(r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lookups),
		cmocka_unit_test(nothing_is_allowed_without_rules),
		cmocka_unit_test(labels_have_boundaries),
		cmocka_unit_test(ports),
		cmocka_unit_test(deny_beats_allow),
		cmocka_unit_test(special_addresses),
		cmocka_unit_test(special_addresses_need_their_own_rule),
		cmocka_unit_test(own_addresses),
		cmocka_unit_test(services_of_the_host),
		cmocka_unit_test(bad_patterns),
		cmocka_unit_test(text_form),
		cmocka_unit_test(bad_texts),
		cmocka_unit_test(presets),
		cmocka_unit_test(balanced_is_enough),
		cmocka_unit_test(long_origins_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
