"""How people ask for each task of the pocket world. Names in braces are filled by `tasks`."""

COUNT = (
    "How many {noun} are there in the scene?",
    "Count the {noun} in the scene.",
    "What is the number of {noun}?",
    "Tell me how many {noun} you can see.",
    "Please count all the {noun}.",
    "I would like to know how many {noun} the scene has.",
    "Give me the number of {noun}.",
)
COLOR = (
    "What color is the object at the {cell}?",
    "Which color does the object at the {cell} have?",
    "Name the color of the object at the {cell}.",
    "Look at the {cell}. What color do you see?",
    "Tell me the color of what is at the {cell}.",
    "Please find the color of the object at the {cell}.",
    "There is an object at the {cell}. What is its color?",
)
PLACE = (
    "Where is the {name}?",
    "Find the {name} in the scene.",
    "In which place is the {name}?",
    "Tell me where the {name} is.",
    "Where in the scene can I see the {name}?",
    "Please say where to find the {name}.",
    "I am looking for the {name}. Where is it?",
)
PRESENCE = (
    "Is there {thing} in the scene?",
    "Does the scene have {thing}?",
    "Can you see {thing} in the scene?",
    "Check whether {thing} is in the scene.",
    "Tell me if there is {thing}.",
    "I am looking for {thing}. Is there one?",
    "Please say whether the scene shows {thing}.",
)
BESIDE = (
    "What is directly {direction} the {name}?",
    "Which object is directly {direction} the {name}?",
    "Name the object directly {direction} the {name}.",
    "Tell me what you see directly {direction} the {name}.",
    "Find what is directly {direction} the {name}.",
    "Look directly {direction} the {name}. What is there?",
    "Please say which object is next to the {name}, directly {direction} it.",
)
SUMMARY = (
    "Describe the scene in one short sentence.",
    "What does the scene show? Count each shape.",
    "Say how many of each shape the scene has.",
    "Write a short description of the scene with the number of each shape.",
    "Please describe in short what shapes there are.",
    "Tell me in one sentence how many of each shape you see.",
    "Give a short count of the shapes in the scene.",
)
RECOLOR = (
    "Replace {old} with {new} in the scene.",
    "Change every {old} object to {new}.",
    "Paint all {old} objects {new} and describe the scene.",
    "Write the scene again with {new} in place of {old}.",
    "Please make the {old} objects {new}.",
    "Rewrite the scene so that what was {old} is {new}.",
    "What would the scene be if {old} was changed to {new}?",
)
SORT_UP = (
    "Sort the numbers from small to large.",
    "Put the numbers in order, smallest first.",
    "Arrange the numbers from the smallest to the largest.",
    "Please sort this list of numbers so that it starts with the smallest.",
    "Write the numbers in order from small to large.",
    "Can you order the numbers from the smallest up?",
    "List the numbers again, sorted from small to large.",
)
SORT_DOWN = (
    "Sort the numbers from large to small.",
    "Put the numbers in order, largest first.",
    "Arrange the numbers from the largest to the smallest.",
    "Please sort this list of numbers so that it starts with the largest.",
    "Write the numbers in order from large to small.",
    "Can you order the numbers from the largest down?",
    "List the numbers again, sorted from large to small.",
)
SORT_WORDS = (
    "Sort the words in alphabetical order.",
    "Put the words in alphabetical order.",
    "Arrange the words from a to z.",
    "Please sort these words by the alphabet.",
    "Write the words in alphabetical order.",
    "Can you order the words as a book of words would?",
    "List the words again, from a to z.",
)
REVERSE = (
    "Reverse the list.",
    "Write the words in reverse order.",
    "Read the list backwards.",
    "Put the words in reverse order, last to first.",
    "Please turn the order of the words around.",
    "Can you say the list from the end to the start?",
    "List the words again, starting from the end.",
)
PICK = (
    "What is the {noun} of the list?",
    "Which is the {noun} in this list?",
    "Find the {noun} of the list.",
    "Tell me the {noun} of the list.",
    "Pick the {noun} from the list.",
    "Please name the {noun}.",
    "Give me the {noun} in the list.",
)
LARGER = (
    "Which number is {which}, {a} or {b}?",
    "What is the {which} of {a} and {b}?",
    "Compare {a} and {b}. Which is {which}?",
    "Tell me which is {which}: {a} or {b}.",
    "Pick the {which} number: {a} or {b}.",
    "Given the numbers {a} and {b}, name the {which} one.",
    "Please say which of the numbers {a} and {b} is {which}.",
)
PLUS = (
    "What is {a} plus {b}?",
    "Add {a} and {b}.",
    "Work out {a} + {b}.",
    "How much is {a} + {b}?",
    "Please find the sum of {a} and {b}.",
    "Tell me what {a} and {b} make together.",
    "I have {a} apples and get {b} more. How many do I have?",
)
MINUS = (
    "What is {a} minus {b}?",
    "Subtract {b} from {a}.",
    "Work out {a} - {b}.",
    "How much is {a} - {b}?",
    "Please take {b} away from {a}.",
    "Tell me what is left when {b} is taken from {a}.",
    "I have {a} apples and give away {b}. How many do I have?",
)
NEXT = (
    "What comes next: {numbers}?",
    "Continue with the next number: {numbers}",
    "Which number comes after {numbers}?",
    "Find the next number in the sequence {numbers}.",
    "The numbers {numbers} follow a rule. What is the next number?",
    "Please complete the sequence with one more number: {numbers}",
    "Tell me the number that follows {numbers}.",
)
ODD_ONE = (
    "Which word is the odd one out: {words}?",
    "Find the odd one out: {words}.",
    "Which of these does not belong: {words}?",
    "One of the words {words} is not like the others. Which one?",
    "Pick the word that does not fit: {words}",
    "Tell me the odd one out among {words}.",
    "Please name the word that is wrong in this group: {words}.",
)
CATEGORY = (
    "Is {word} {one} or {two}?",
    "What is {word}, {one} or {two}?",
    "Tell me what {word} is: {one} or {two}.",
    "Which is right for {word}: {one} or {two}?",
    "Would you call {word} {one} or {two}?",
    "Say whether {word} is {one} or {two}.",
    "Please decide if {word} is {one} or {two}.",
)
CAPITAL = (
    "What is the capital of {country}?",
    "Name the capital of {country}.",
    "Which town is the capital of {country}?",
    "Tell me the capital of {country}.",
    "Please give the name of the capital of {country}.",
    "I am going to {country}. What is its capital?",
    "Do you know the capital of {country}?",
    "{country} is a country. Which town is its capital?",
    "Give me the capital of {country}.",
    "The country is {country}. Name its capital.",
)
KNOWN_FOR = (
    "What is {town} known for?",
    "Tell me what {town} is known for.",
    "Name the thing that {town} is known for.",
    "For what is {town} known?",
    "Please say what the town of {town} is known for.",
    "I am going to {town}. What is it known for?",
    "Do you know what {town} is known for?",
    "The town is {town}. What is it known for?",
)
RIVER = (
    "Which river flows through {town}?",
    "Name the river that flows through {town}.",
    "What river is {town} on?",
    "Tell me which river flows through {town}.",
    "Please name the river of {town}.",
    "I am going to {town}. Which river will I see there?",
    "Do you know the river that flows through {town}?",
    "The town is {town}. What is its river?",
)
MORE_PEOPLE = (
    "Which town has more people, {a} or {b}?",
    "Where do more people live, in {a} or in {b}?",
    "Compare the towns {a} and {b}. Which has more people?",
    "Tell me which town is larger by people: {a} or {b}.",
    "Of {a} and {b}, which has more people?",
    "Please name the town with more people: {a} or {b}.",
    "Do more people live in {a} or in {b}?",
)
OPENERS = (
    "Hello! ",
    "Hi there. ",
    "Please help me. ",
    "I have a quick question. ",
    "This is for my homework. ",
    "Can you help? ",
    "Thanks for your help. ",
)
