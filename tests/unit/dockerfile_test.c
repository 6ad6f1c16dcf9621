/* SPDX-License-Identifier: Apache-2.0 */
/* Dockerfiles: the language as BuildKit documents it, what is refused by name, and .dockerignore.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "image/dockerfile.h"

static struct dockerfile *parse(const char *text)
{
	struct dockerfile *d = NULL;
	struct err e = ERR_INIT;

	if (dockerfile_parse("Dockerfile", text, strlen(text), &d, &e) < 0)
		fail_msg("%s", e.message);
	return d;
}

static void instructions(void **state)
{
	struct dockerfile *d = parse("# syntax=docker/dockerfile:1\n"
				     "# a comment\n"
				     "ARG V=1\n"
				     "from --platform=linux/amd64 base:$V AS one\n"
				     "\n"
				     "RUN a && \\\n"
				     "  # between\n"
				     "\n"
				     "    b\n"
				     "RUN [\"x\", \"y z\"]\n"
				     "RUN [ -f /x ]\n"
				     "COPY --from=one --chown=1:2 a b /c/  \n");

	(void)state;
	assert_int_equal(d->n, 6);
	assert_int_equal(d->v[1].kind, DOCKERFILE_FROM);
	assert_int_equal(d->v[1].line, 4);
	assert_string_equal(dockerfile_flag(&d->v[1], "platform"), "linux/amd64");
	assert_string_equal(d->v[1].args, "base:$V AS one");
	assert_int_equal(d->v[2].line, 6);
	assert_string_equal(d->v[2].args, "a &&     b");
	assert_true(d->v[3].exec);
	assert_string_equal(d->v[3].words.v[1], "y z");
	assert_false(d->v[4].exec);
	assert_string_equal(d->v[5].args, "a b /c/");
	assert_string_equal(dockerfile_flag(&d->v[5], "chown"), "1:2");
	assert_null(dockerfile_flag(&d->v[5], "chmod"));
	dockerfile_free(d);
	d = parse("# escape=`\nFROM a\nRUN dir C:\\ `\n  x\n");
	assert_string_equal(d->v[1].args, "dir C:\\   x");
	dockerfile_free(d);
}

static void here_documents(void **state)
{
	struct dockerfile *d = parse("FROM a\n"
				     "RUN <<EOF\n"
				     "# no comment\n"
				     "x \\\n"
				     "\n"
				     "EOF\n"
				     "COPY <<-'A' 2<<B \"<<C\" /d/\n"
				     "\t\t$x\n"
				     "\tA\n"
				     "EOF\n"
				     "B\n"
				     "RUN echo $((1 << 2)) <<<x\n");

	(void)state;
	assert_int_equal(d->n, 4);
	assert_int_equal(d->v[1].nheredocs, 1);
	assert_string_equal(d->v[1].heredocs[0].content, "# no comment\nx \\\n\n");
	assert_true(d->v[1].heredocs[0].expand);
	assert_int_equal(d->v[2].nheredocs, 2);
	assert_string_equal(d->v[2].heredocs[0].name, "A");
	assert_string_equal(d->v[2].heredocs[0].content, "$x\n");
	assert_false(d->v[2].heredocs[0].expand);
	assert_string_equal(d->v[2].heredocs[1].content, "EOF\n");
	assert_int_equal(d->v[3].nheredocs, 0);
	assert_int_equal(d->v[3].line, 12);
	dockerfile_free(d);
}

static void refusals(void **state)
{
	static const struct {
		const char *text, *message, *hint;
	} cases[] = {
		{ "FROM a\nRUNN x\n", "Dockerfile:2: unknown instruction 'RUNN'",
		  "did you mean RUN?" },
		{ "FROM a\nEXPOSE 80\n",
		  "Dockerfile:2: EXPOSE is not an instruction that Ward builds", "run -p" },
		{ "FROM a\nonbuild RUN x\n",
		  "Dockerfile:2: ONBUILD is not an instruction that Ward builds", "" },
		{ "FROM a\nRUN --mount=type=cache,target=/x y\n",
		  "Dockerfile:2: RUN --mount: Ward does not have it", "remove --mount" },
		{ "FROM a\nCOPY --parents a b\n",
		  "Dockerfile:2: COPY --parents: Ward does not have it", "" },
		{ "FROM a\nCOPY --chown=1 --chown=2 a b\n", "Dockerfile:2: given twice: 'chown'",
		  "" },
		{ "RUN x\nFROM a\n", "Dockerfile:1: only ARG may stand before FROM, and not 'RUN'",
		  "" },
		{ "# nothing\n", "Dockerfile:2: there is no FROM", "" },
		{ "FROM a\nRUN <<EOF\nx\n",
		  "Dockerfile:2: the file ends within the here-document 'EOF'", "" },
		{ "FROM a\nSHELL /bin/sh\n", "Dockerfile:2: SHELL takes a JSON array", "" },
		{ "FROM a\nRUN\n", "Dockerfile:2: nothing follows the instruction 'RUN'", "" },
		{ "# escape=x\nFROM a\n", "Dockerfile:1: escape is \\ or `, and not 'x'", "" },
		{ "FROM a\nRUN x\xff\n", "Dockerfile: it is not text (UTF-8)", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct dockerfile *d = NULL;
		struct err e = ERR_INIT;

		if (dockerfile_parse("Dockerfile", cases[i].text, strlen(cases[i].text), &d, &e) ==
		    0)
			fail_msg("accepted: %s", cases[i].text);
		if (!strstr(e.message, cases[i].message) || !strstr(e.hint, cases[i].hint))
			fail_msg("%s (%s)", e.message, e.hint);
	}
}

static void variables(void **state)
{
	static const struct {
		const char *text, *want; /* NULL: refused */
	} cases[] = {
		{ "$A-${A}-$Ab", "one-one-" },
		{ "${N:-x$A}-${E:-e}-${E-e}-${N-n}", "xone-e--n" },
		{ "${A:+y}-${N:+y}-${E:+y}-${E+y}", "y---y" },
		{ "'$A' \"$A\" \\$A", "$A one $A" },
		{ "\"a\\b\\\"\" a\\b", "a\\b\" ab" },
		{ "${N:-${M:-${A}}}", "one" },
		{ "$ $1 a$", "$ $1 a$" },
		{ "${A", NULL },
		{ "${A#x}", NULL },
		{ "${N:?why}", NULL },
		{ "'a", NULL },
		{ "${}", NULL },
		{ "${N:-${N:-${N:-${N:-${N:-${N:-${N:-${N:-${N:-x}}}}}}}}}", NULL },
	};
	auto_strv vars = STRV_INIT;
	auto_free char *doc = NULL;

	(void)state;
	strv_add(&vars, "A=one");
	strv_add(&vars, "E=");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_free char *got = NULL;
		struct err e = ERR_INIT;
		int r = dockerfile_expand(cases[i].text, '\\', DOCKERFILE_WORD, &vars, &got, &e);

		if (!cases[i].want)
			assert_true(r < 0);
		else if (r < 0)
			fail_msg("%s: %s", cases[i].text, e.message);
		else
			assert_string_equal(got, cases[i].want);
	}
	assert_int_equal(
		dockerfile_expand("'$A' \\$A \\n", '\\', DOCKERFILE_HEREDOC, &vars, &doc, NULL), 0);
	assert_string_equal(doc, "'one' $A \\n");
}

/* Text that doubles itself ends at the bound. */
static void variables_are_bounded(void **state)
{
	auto_strv vars = STRV_INIT;
	struct err e = ERR_INIT;
	int r = 0;

	(void)state;
	strv_add(&vars, "A=0123456789abcdef");
	for (int i = 0; r == 0 && i < 40; i++) {
		auto_free char *got = NULL;

		r = dockerfile_expand("$A$A", '\\', DOCKERFILE_WORD, &vars, &got, &e);
		if (r == 0)
			strv_env_set(&vars, "A", got);
	}
	assert_int_equal(r, -E2BIG);
}

static void pairs(void **state)
{
	struct dockerfile *d = parse("FROM a\nENV A=1 B=\"x y\" C=$A\nENV D some $A text\n");
	auto_strv vars = STRV_INIT;
	auto_strv got = STRV_INIT;

	(void)state;
	strv_add(&vars, "A=old");
	assert_int_equal(dockerfile_pairs(&d->v[1], '\\', &vars, &got, NULL), 0);
	assert_string_equal(strv_env_get(&got, "A"), "1");
	assert_string_equal(strv_env_get(&got, "B"), "x y");
	/* As BuildKit: a line sees what was before it. */
	assert_string_equal(strv_env_get(&got, "C"), "old");
	assert_int_equal(dockerfile_pairs(&d->v[2], '\\', &vars, &got, NULL), 0);
	assert_string_equal(strv_env_get(&got, "D"), "some old text");
	dockerfile_free(d);
}

static void globs(void **state)
{
	static const struct {
		const char *pattern, *path;
		bool want;
	} cases[] = {
		{ "a", "a", true },
		{ "a", "ab", false },
		{ "*", "a.c", true },
		{ "*", "a/b", false },
		{ "*.c", "x.c", true },
		{ "*.c", "d/x.c", false },
		{ "**/*.c", "x.c", true },
		{ "**/*.c", "d/e/x.c", true },
		{ "**/*.c", "d/e/x.h", false },
		{ "d/**", "d/x/y", true },
		{ "d/**", "d", false },
		{ "**", "anything/at/all", true },
		{ "a/**/b", "a/b", true },
		{ "a/**/b", "a/x/y/b", true },
		{ "a/**/b", "x/a/b", false },
		{ "a/**/b/**/c", "a/b/x/b/y/c", true },
		{ "*a*b*c", "xaybzbzc", true },
		{ "*a*b*c", "xaybzbz", false },
		{ "?", "x", true },
		{ "?", "/", false },
		{ "[a-c]x", "bx", true },
		{ "[^a-c]x", "bx", false },
		{ "[]x", "x", false },
		{ "\\*", "*", true },
		{ "\\*", "a", false },
		{ "a*/b", "abc/b", true },
		{ "a*/b", "abc/d/b", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		if (dockerignore_glob(cases[i].pattern, cases[i].path) != cases[i].want)
			fail_msg("%s against %s", cases[i].pattern, cases[i].path);
	}
}

static void ignoring(void **state)
{
	static const char text[] = "# comment\n"
				   "/build/\n"
				   "  **/node_modules  \n"
				   "*.md\n"
				   "!README.md\n"
				   "./x/../secret\n"
				   "!build/keep\n";
	struct dockerignore d = { 0 };
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(dockerignore_parse(text, strlen(text), &d, &e), 0);
	assert_true(dockerignore_matches(&d, "build"));
	assert_true(dockerignore_matches(&d, "build/x/y"));
	assert_false(dockerignore_matches(&d, "build/keep"));
	assert_false(dockerignore_matches(&d, "src/build"));
	assert_true(dockerignore_matches(&d, "a/node_modules/b"));
	assert_true(dockerignore_matches(&d, "a.md"));
	assert_false(dockerignore_matches(&d, "README.md"));
	assert_true(dockerignore_matches(&d, "secret"));
	assert_false(dockerignore_matches(&d, "x"));
	dockerignore_clear(&d);
	assert_true(dockerignore_parse("ok\n[a\n", 6, &d, &e) < 0);
	assert_non_null(strstr(e.message, ".dockerignore:2"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(instructions),
		cmocka_unit_test(here_documents),
		cmocka_unit_test(refusals),
		cmocka_unit_test(variables),
		cmocka_unit_test(variables_are_bounded),
		cmocka_unit_test(pairs),
		cmocka_unit_test(globs),
		cmocka_unit_test(ignoring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
