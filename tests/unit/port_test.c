/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port_test: published ports as text and as JSON, and lists of them.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "spec/spec.h"

static void test_parse(void **state)
{
	static const struct {
		const char *text, *ip;
		unsigned host, port;
		const char *again; /* NULL: the same text */
	} good[] = {
		{ "3000", NULL, 0, 3000, NULL },
		{ "8080:3000", NULL, 8080, 3000, NULL },
		{ "8080:3000/tcp", NULL, 8080, 3000, "8080:3000" },
		{ "0:3000", NULL, 0, 3000, "3000" },
		{ "127.0.0.1:8080:3000", "127.0.0.1", 8080, 3000, NULL },
		{ "127.0.0.1::3000", "127.0.0.1", 0, 3000, "127.0.0.1:0:3000" },
		{ "0.0.0.0:80:80", "0.0.0.0", 80, 80, NULL },
		{ "[::1]:8080:3000", "::1", 8080, 3000, NULL },
		{ "[0:0:0:0:0:0:0:1]:8080:3000", "::1", 8080, 3000, "[::1]:8080:3000" },
		{ "[::]:8080:3000", "::", 8080, 3000, NULL },
		{ "8080:3000/tcp4", "127.0.0.1", 8080, 3000, "127.0.0.1:8080:3000" },
		{ "8080:3000/tcp6", "::1", 8080, 3000, "[::1]:8080:3000" },
		{ "10.0.0.1:1:65535/tcp4", "10.0.0.1", 1, 65535, "10.0.0.1:1:65535" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct spec_port p;
		auto_buf text = BUF_INIT;

		assert_int_equal(spec_port_parse(good[i].text, &p, NULL), 0);
		assert_int_equal(p.host, good[i].host);
		assert_int_equal(p.port, good[i].port);
		if (good[i].ip)
			assert_string_equal(p.ip, good[i].ip);
		else
			assert_null(p.ip);
		spec_port_text(&p, &text);
		assert_string_equal(buf_str(&text), good[i].again ? good[i].again : good[i].text);
		spec_port_clear(&p);
	}
}

static void test_refuse(void **state)
{
	static const struct {
		const char *text, *why;
	} bad[] = {
		{ "", "the port in the sandbox" },
		{ "0", "the port in the sandbox" },
		{ "65536", "the port in the sandbox" },
		{ "http", "the port in the sandbox" },
		{ "8080:", "the port in the sandbox" },
		{ "+1", "the port in the sandbox" },
		{ " 80", "the port in the sandbox" },
		{ ":3000", "the port of this machine" },
		{ "65536:3000", "the port of this machine" },
		{ "x:3000", "the port of this machine" },
		{ "8000-8010:3000", "ranges" },
		{ "53:53/udp", "UDP" },
		{ "53/udp6", "UDP" },
		{ "53/sctp", "protocol" },
		{ "53/", "protocol" },
		{ "53/tcp/tcp", "protocol" },
		{ "localhost:8080:3000", "no IP address" },
		{ "::1:8080:3000", "brackets" },
		{ "[::1:8080:3000", "no IP address" },
		{ "[127.0.0.1]:8080:3000", "no IP address" },
		{ "127.1:8080:3000", "no IP address" },
		{ "[fe80::1%lo]:8080:3000", "no IP address" },
		{ "127.0.0.1:8080:3000/tcp6", "other family" },
		{ "[::1]:8080:3000/tcp4", "other family" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct spec_port p;
		struct err e = ERR_INIT;

		assert_int_equal(spec_port_parse(bad[i].text, &p, &e), -EINVAL);
		assert_non_null(strstr(e.message, bad[i].why));
		assert_true(e.hint[0] != '\0');
	}
}

static struct spec_port port(const char *text)
{
	struct spec_port p;

	assert_int_equal(spec_port_parse(text, &p, NULL), 0);
	return p;
}

static int add(struct spec_ports *list, const char *text, struct err *e)
{
	struct spec_port p = port(text);

	return spec_ports_add(list, &p, e);
}

static size_t drop(struct spec_ports *list, const char *text)
{
	struct spec_port p = port(text);
	size_t n = spec_ports_remove(list, &p);

	spec_port_clear(&p);
	return n;
}

static void test_lists(void **state)
{
	struct spec_ports list = { 0 };
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(add(&list, "8080:3000", &e), 0);
	assert_int_equal(add(&list, "8080:3000", &e), -EEXIST);
	assert_int_equal(add(&list, "8080:4000", &e), -EEXIST);
	assert_non_null(strstr(e.message, "port 8080 of this machine leads to port 3000"));
	assert_int_equal(add(&list, "10.1.1.1:8080:4000", &e), 0);
	assert_int_equal(add(&list, "3000", &e), 0);
	list.v[2].assigned = 40000;
	assert_int_equal(drop(&list, "9:3000"), 0);
	assert_int_equal(drop(&list, "40000:3000"), 1);
	assert_int_equal(add(&list, "8081:3000", &e), 0);
	assert_int_equal(drop(&list, "127.0.0.1:8080:3000"), 0); /* it has both addresses */
	assert_int_equal(drop(&list, "3000"), 2);
	assert_int_equal(list.n, 1);
	assert_string_equal(list.v[0].ip, "10.1.1.1");
	spec_ports_clear(&list);
	for (unsigned i = 1; i <= SPEC_PORTS_MAX; i++) {
		auto_free char *text = xasprintf("%u:80", i);

		assert_int_equal(add(&list, text, &e), 0);
	}
	assert_int_equal(add(&list, "1000:80", &e), -E2BIG);
	spec_ports_clear(&list);
}

static void test_json(void **state)
{
	static const char *const bad[] = {
		"[{\"port\": 0}]",
		"[{\"port\": 65536}]",
		"[{}]",
		"[{\"port\": 1, \"ip\": \"localhost\"}]",
		"[{\"port\": 1, \"ip\": \"0:0:0:0:0:0:0:1\"}]",
		"[{\"port\": 1, \"name\": \"a\\u001bb\"}]",
		"{}",
	};
	struct spec_ports list = { 0 }, again = { 0 };
	auto_json j = NULL;
	auto_buf shown = BUF_INIT;

	(void)state;
	assert_int_equal(add(&list, "8080:3000", NULL), 0);
	assert_int_equal(add(&list, "[::1]:0:3000", NULL), 0);
	list.v[1].assigned = 50000;
	list.v[1].name = xstrdup("web");
	j = spec_ports_to_json(&list);
	assert_int_equal(spec_ports_from_json(j, &again, NULL), 0);
	assert_int_equal(again.n, 2);
	assert_true(spec_port_equal(&again.v[1], &list.v[1]));
	assert_string_equal(again.v[1].name, "web");
	spec_port_shown(&again.v[0], &shown);
	buf_putc(&shown, ' ');
	spec_port_shown(&again.v[1], &shown);
	assert_string_equal(buf_str(&shown), "127.0.0.1:8080->3000/tcp [::1]:50000->3000/tcp");
	spec_ports_clear(&list);
	spec_ports_clear(&again);
	assert_int_equal(spec_ports_from_json(NULL, &again, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct json *b = NULL;

		assert_int_equal(json_parse(bad[i], strlen(bad[i]), &b, NULL), 0);
		assert_int_equal(spec_ports_from_json(b, &again, NULL), -EINVAL);
		json_unref(b);
	}
}

static void test_kit(void **state)
{
	struct kit_port ports[] = {
		{ .container = 3000, .protocol = (char[]){ "tcp" }, .name = (char[]){ "web" } },
		{ .container = 53, .protocol = (char[]){ "udp" } },
		{ .container = 4000 },
	};
	struct kit k = { .ports = ports, .nports = ARRAY_SIZE(ports) };
	struct spec_ports list = { 0 };

	(void)state;
	assert_int_equal(add(&list, "8080:4000", NULL), 0);
	spec_ports_of_kit(&k, &list);
	assert_int_equal(list.n, 2);
	assert_int_equal(list.v[1].port, 3000);
	assert_int_equal(list.v[1].host, 0);
	assert_string_equal(list.v[1].name, "web");
	spec_ports_clear(&list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse), cmocka_unit_test(test_refuse),
		cmocka_unit_test(test_lists), cmocka_unit_test(test_json),
		cmocka_unit_test(test_kit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
