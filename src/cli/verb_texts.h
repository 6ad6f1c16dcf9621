/* SPDX-License-Identifier: Apache-2.0 */
/* verb_texts: for the table in verbs.c. */
#ifndef WARD_CLI_VERB_TEXTS_H
#define WARD_CLI_VERB_TEXTS_H

extern const char run_text[];
extern const char create_text[];
extern const char exec_text[];
extern const char attach_text[];
extern const char ls_text[];
extern const char inspect_text[];
extern const char stop_text[];
extern const char rm_text[];
extern const char prune_text[];
extern const char cp_text[];
extern const char logs_text[];
extern const char ports_text[];
extern const char kit_text[];
extern const char template_text[];
extern const char policy_text[];
extern const char volume_text[];
extern const char completion_text[];

#endif
