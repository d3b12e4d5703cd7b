/* `vinveil serve`: the API daemon in the foreground, as the service manager starts it. */
#include "programs/vinveil/commands.h"
#include "programs/vinveil/installation.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static int run_serve(const struct invocation *invocation)
{
	char path[PATH_SIZE];
	const char *config = option_get(invocation, "config");
	if (config == NULL) {
		say_error("say which configuration: vinveil serve --config FILE");
		return EXIT_USAGE;
	}
	if (installation_program("vinveild", path) != RESULT_OK) {
		say_error("vinveild does not stand beside this program");
		return EXIT_FAILED;
	}
	execl(path, "vinveild", "--config", config, (char *)NULL);
	say_error("%s: %s", path, strerror(errno));
	return EXIT_FAILED;
}

const struct command command_serve = {
	.words = "serve",
	.arguments = "",
	.summary = "run the API daemon (vinveil-keyd must be running)",
	.description = "Becomes vinveild with that configuration. SIGTERM ends it after what is in flight.",
	.run = run_serve,
	.options = {{"config", "FILE", "made by `vinveil init`: DIR/vinveild.conf", false}, {NULL, NULL, NULL, false}},
};
