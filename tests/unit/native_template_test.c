/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of engine/native_template.c: an image's variables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "engine/engine_internal.h"

static void test_merge(void **state)
{
	static const char *const image[] = { "LANG=de_DE.UTF-8",
					     "HOST_SECRET",
					     "A=b=c",
					     "=x",
					     "HOME=/root",
					     "HTTP_PROXY=http://x",
					     "WARD_SANDBOX=y",
					     "GIT_CONFIG_COUNT=0",
					     "EMPTY=",
					     "GIVEN=image",
					     "PATH=/opt/bin:/bin:/usr/bin",
					     "A=again" };
	auto_strv from = STRV_INIT;
	auto_strv env = STRV_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(image); i++)
		strv_add(&from, image[i]);
	strv_add(&env, "GIVEN=user");
	native_image_merge_env(&from, &env);
	assert_string_equal(strv_env_get(&env, "LANG"), "de_DE.UTF-8");
	assert_string_equal(strv_env_get(&env, "A"), "b=c");
	assert_string_equal(strv_env_get(&env, "EMPTY"), "");
	assert_string_equal(strv_env_get(&env, "GIVEN"), "user");
	assert_string_equal(
		strv_env_get(&env, "PATH"),
		"/home/agent/.local/bin:/run/ward/bin:/opt/bin:/bin:/usr/bin:/usr/local/sbin:"
		"/usr/local/bin:/usr/sbin:/sbin");
	assert_int_equal(env.n, 5);
}

static void test_path_given(void **state)
{
	auto_strv from = STRV_INIT;
	auto_strv env = STRV_INIT;

	(void)state;
	strv_add(&from, "PATH=/image");
	strv_add(&env, "PATH=/mine");
	native_image_merge_env(&from, &env);
	assert_string_equal(strv_env_get(&env, "PATH"), "/mine");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_merge),
		cmocka_unit_test(test_path_given),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
