/*
 * A condition of a collection scheme: numbers, texts and truth values stand for themselves, {"signal": NAME} for a
 * signal's latest value, {"operator": WORD, "left": …, "right": …} for what is computed of them.
 */
#include "adapters/fleetwise/description.h"

#include "vehicle/vin.h"

#define COUNT(array)	(sizeof(array) / sizeof((array)[0]))
#define TREE_DEPTH_MAX	10 /* the agent's own: deeper ones it does not accept */
#define TEXT_LENGTH_MAX 256
#define TOO_DEEP	"the condition is nested deeper than 10."

/* In the order of the agent's numbers. */
static const char *const operators[] = {"<", ">", "<=", ">=", "==", "!=", "and", "or", "not", "+", "-", "*", "/"};

struct reading {
	struct description *description;
	bool *is_used;
};

static enum result read_node(struct reading *reading, const json_t *json, int depth,
			     Fleetwise__ConditionNode **ret_node);

static enum result read_text(struct reading *reading, const json_t *json, Fleetwise__ConditionNode *node)
{
	struct span text = span_of(json_string_value(json), json_string_length(json));

	if (text.size > TEXT_LENGTH_MAX)
		return description_refuse(reading->description, PROBLEM_VALUE_INVALID,
					  "a text of the condition is longer than %d.", TEXT_LENGTH_MAX);
	if (vin_stands_in(text))
		return description_refuse(reading->description, PROBLEM_VIN_NOT_ALLOWED,
					  "a text of the condition holds what looks like a VIN.");
	node->node_case = FLEETWISE__CONDITION_NODE__NODE_STRING_VALUE;
	node->string_value = arena_copy_text(reading->description->arena, text);
	return node->string_value != NULL ? RESULT_OK : RESULT_MEMORY;
}

static enum result read_signal(struct reading *reading, const json_t *json, Fleetwise__ConditionNode *node)
{
	static const char *const members[] = {"signal"};
	struct description *description = reading->description;
	struct span name = {0};

	TRY(member_check(description, json, members, COUNT(members)));
	const struct described_signal *signal = json_get_text(json, "signal", SIZE_MAX, &name) == RESULT_OK
							? description_find(description, name)
							: NULL;
	if (signal == NULL)
		return description_refuse(description, PROBLEM_VALUE_INVALID,
					  "a signal of the condition is not described.");
	reading->is_used[signal->place] = true;
	node->node_case = FLEETWISE__CONDITION_NODE__NODE_SIGNAL_ID;
	node->signal_id = signal->id;
	return RESULT_OK;
}

static enum result read_operator(struct reading *reading, const json_t *json, int depth, Fleetwise__ConditionNode *node)
{
	static const char *const members[] = {"operator", "left", "right"};
	struct description *description = reading->description;
	Fleetwise__OperatorNode *made = arena_alloc(description->arena, sizeof *made);
	size_t place = 0;

	if (made == NULL)
		return RESULT_MEMORY;
	fleetwise__operator_node__init(made);
	TRY(member_check(description, json, members, COUNT(members)));
	TRY(member_choice(description, json, "operator", operators, COUNT(operators), &place));
	made->operator_ = (Fleetwise__Operator)place;
	bool is_unary = made->operator_ == FLEETWISE__OPERATOR__LOGICAL_NOT;
	if (is_unary != (json_object_get(json, "right") == NULL))
		return description_refuse(description, PROBLEM_MALFORMED,
					  "an operator of the condition takes left and right, but \"not\" left alone.");
	TRY(member_required(description, json, "left"));
	TRY(read_node(reading, json_object_get(json, "left"), depth + 1, &made->left));
	if (!is_unary)
		TRY(read_node(reading, json_object_get(json, "right"), depth + 1, &made->right));
	node->node_case = FLEETWISE__CONDITION_NODE__NODE_OPERATOR_NODE;
	node->operator_node = made;
	return RESULT_OK;
}

/* NOLINTNEXTLINE(misc-no-recursion): no deeper than TREE_DEPTH_MAX */
static enum result read_node(struct reading *reading, const json_t *json, int depth,
			     Fleetwise__ConditionNode **ret_node)
{
	struct description *description = reading->description;
	Fleetwise__ConditionNode *node = arena_alloc(description->arena, sizeof *node);
	enum result result = RESULT_OK;

	if (node == NULL)
		return RESULT_MEMORY;
	fleetwise__condition_node__init(node);
	if (depth > TREE_DEPTH_MAX)
		return description_refuse(description, PROBLEM_VALUE_INVALID, TOO_DEEP);
	if (json_is_number(json)) {
		node->node_case = FLEETWISE__CONDITION_NODE__NODE_DOUBLE_VALUE;
		node->double_value = json_number_value(json);
	} else if (json_is_boolean(json)) {
		node->node_case = FLEETWISE__CONDITION_NODE__NODE_BOOLEAN_VALUE;
		node->boolean_value = json_is_true(json);
	} else if (json_is_string(json)) {
		result = read_text(reading, json, node);
	} else if (json_object_get(json, "operator") != NULL) {
		result = read_operator(reading, json, depth, node);
	} else {
		result = read_signal(reading, json, node);
	}
	if (result == RESULT_OK)
		*ret_node = node;
	return result;
}

static bool is_truth_value(const Fleetwise__ConditionNode *node)
{
	return node->node_case == FLEETWISE__CONDITION_NODE__NODE_OPERATOR_NODE &&
	       node->operator_node->operator_ <= FLEETWISE__OPERATOR__LOGICAL_NOT;
}

enum result describe_condition(struct description *description, const json_t *json, bool *is_used,
			       Fleetwise__ConditionNode **ret_node)
{
	struct reading reading = {description, is_used};

	TRY(read_node(&reading, json, 1, ret_node));
	if (!is_truth_value(*ret_node))
		return description_refuse(description, PROBLEM_VALUE_INVALID,
					  "the condition must be a comparison, or and, or, not.");
	return RESULT_OK;
}
