/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: Dockerfiles.  What was accepted stays within its bounds, refers to lines that there
 * are, and its words and variables can be taken apart; a message is one printable line.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "image/dockerfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_message(const struct err *e)
{
	if (e->code == 0 || strchr(e->message, '\n') || strchr(e->message, '\x1b'))
		abort();
}

static void take_apart(const struct dockerfile *d, const struct dockerfile_instruction *i)
{
	auto_strv vars = STRV_INIT;
	auto_strv words = STRV_INIT;
	auto_free char *text = NULL;
	struct err e = ERR_INIT;

	strv_add(&vars, "A=one");
	strv_add(&vars, "B=");
	if (dockerfile_split(i->args, d->escape, &words, &e) < 0)
		check_message(&e);
	if (words.n > DOCKERFILE_WORDS_MAX)
		abort();
	e = ERR_INIT;
	if (dockerfile_expand(i->args, d->escape, DOCKERFILE_WORD, &vars, &text, &e) < 0)
		check_message(&e);
	else if (strlen(text) > DOCKERFILE_VALUE_MAX)
		abort();
	e = ERR_INIT;
	if (dockerfile_pairs(i, d->escape, &vars, &vars, &e) < 0)
		check_message(&e);
	for (size_t k = 0; k < i->nheredocs; k++) {
		auto_free char *content = NULL;

		e = ERR_INIT;
		if (dockerfile_expand(i->heredocs[k].content, d->escape, DOCKERFILE_HEREDOC, &vars,
				      &content, &e) < 0)
			check_message(&e);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = xmemdup(data, size ? size : 1);
	struct dockerfile *d = NULL;
	struct err e = ERR_INIT;
	unsigned lines = 1;

	for (size_t i = 0; i < size; i++)
		lines += text[i] == '\n';
	if (dockerfile_parse("Dockerfile", text, size, &d, &e) < 0) {
		check_message(&e);
		return 0;
	}
	for (size_t i = 0; i < d->n; i++) {
		if (d->v[i].line == 0 || d->v[i].line > lines)
			abort();
		take_apart(d, &d->v[i]);
	}
	dockerfile_free(d);
	return 0;
}
