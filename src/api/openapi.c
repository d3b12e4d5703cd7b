/*
 * GET /openapi.json: the document is part of the program (openapi.json beside this file), so it always describes the
 * server that serves it.
 */
#include "api/call.h"

extern const unsigned char openapi_json[];
extern const size_t openapi_json_size;

enum problem openapi_document(struct call *call)
{
	answer_begin(call, 200, "application/json");
	call->exchange->response.static_body = span_of(openapi_json, openapi_json_size);
	return PROBLEM_NONE;
}
